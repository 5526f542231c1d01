"""A folder of policy files -> what ``aiops policy check`` says of each."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.policy import Finding, examine
from aiops_core.policy.file import Policy


class Colours(Policy):
    file: ClassVar[str] = "colours.yaml"

    sea: str


READERS = [Colours]


def test_a_right_file_is_ok(tmp_path: Path) -> None:
    (tmp_path / "colours.yaml").write_text("sea: blue\n")
    [finding] = examine(tmp_path, READERS)
    assert finding.problem is None
    assert finding.model is not None and finding.model.endswith("Colours")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sea: blue\nsky: grey\n", "colours.yaml:2: sky: Extra inputs are not permitted"),
        ("sea: 7\n", "colours.yaml:1: sea: Input should be a valid string"),
        ("sea: [\n", "colours.yaml:2: "),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "colours.yaml").write_text(text)
    [finding] = examine(tmp_path, READERS)
    assert words in (finding.problem or "")


def test_a_missing_file_and_one_that_nobody_reads_are_both_mistakes(tmp_path: Path) -> None:
    (tmp_path / "notes.yml").write_text("a: 1\n")
    missing, unread = examine(tmp_path, READERS)
    assert missing.problem == f"{tmp_path / 'colours.yaml'}: policy file is missing"
    assert unread == Finding("notes.yml", None, "no model reads this file")


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiops_cli.policy.models", lambda: READERS)


@pytest.mark.usefixtures("announced")
def test_the_exit_code_is_2_on_a_mistake_and_0_without(tmp_path: Path) -> None:
    (tmp_path / "colours.yaml").write_text("sea: blue\n")
    words = ["policy", "check", "--policies", str(tmp_path)]
    right = CliRunner().invoke(app, words)
    assert (right.exit_code, right.output) == (0, "colours.yaml: OK\n")
    (tmp_path / "colours.yaml").write_text("sea: blue\nwind: 9\n")
    wrong = CliRunner().invoke(app, [*words, "--json"])
    assert wrong.exit_code == 2
    assert "wind" in json.loads(wrong.output)[0]["problem"]
