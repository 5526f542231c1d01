"""Numbered files -> statements, and the mistakes that stop the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiops_core.errors import Misconfigured
from incident_api.migrate import check, read


def files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name.removeprefix('n')}.sql").write_text(text)
    return folder


def test_statements_end_with_a_semicolon_at_the_end_of_a_line(tmp_path):
    text = "-- why; and how\nCREATE TABLE a (x String DEFAULT ';x');\n\n  -- more\nDROP TABLE b;\n"
    (migration,) = read(files(tmp_path, n0001_init=text))
    assert list(migration.statements) == [
        "CREATE TABLE a (x String DEFAULT ';x')",
        "DROP TABLE b",
    ]


def test_other_files_are_ignored_and_the_order_is_by_number(tmp_path):
    found = read(files(tmp_path, n0002_b="", n0001_a="", notes=""))
    assert [m.name for m in found] == ["0001_a.sql", "0002_b.sql"]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "no migration"),
        (["n0002_b"], "expected number 0001"),
        (["n0001_a", "n0003_c"], "0003_c.sql: expected number 0002"),
        (["n0001_a", "n0001_b"], "0001_b.sql: expected number 0002"),
    ],
)
def test_a_gap_is_refused(tmp_path, names, complaint):
    with pytest.raises(Misconfigured, match=complaint):
        read(files(tmp_path, **dict.fromkeys(names, "SELECT 1;")))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read"):
        read(tmp_path / "nowhere")


def test_what_was_applied_must_be_there_unchanged(tmp_path):
    found = read(files(tmp_path, n0001_a="SELECT 1;"))
    check(found, {1: ("0001_a.sql", found[0].checksum)}, tmp_path)
    with pytest.raises(Misconfigured, match="was changed after it had been applied"):
        check(found, {1: ("0001_a.sql", "other")}, tmp_path)
    with pytest.raises(Misconfigured, match=r"0002_b\.sql: was applied to this ClickHouse"):
        check(found, {2: ("0002_b.sql", "x")}, tmp_path)


def test_the_files_that_we_ship_are_in_order():
    assert read(Path(__file__).parents[3] / "clickhouse")
