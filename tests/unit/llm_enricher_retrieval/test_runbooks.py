"""Runbooks as passages; a file with a mistake is left out and named, the others are used."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_enricher.retrieval.markdown import PASSAGE_MOST, PASSAGES_MOST, read_runbook
from llm_enricher.retrieval.runbooks import LARGEST, read_folder

EXAMPLES = Path(__file__).parent / "runbooks"


def example(name: str):
    return read_runbook(name, (EXAMPLES / f"{name}.md").read_text())


def test_each_heading_is_a_passage_with_the_titles_above_it():
    found = example("satellite-link")
    assert found.title == "Satellite link lost"
    assert [one.id for one in found.passages] == [
        "satellite-link#symptoms",
        "satellite-link#checks",
        "satellite-link#fix",
        "satellite-link#what-not-to-do",
    ]
    assert found.passages[0].title == "Satellite link lost — Symptoms"
    assert {one.source for one in found.passages} == {"satellite-link"}


def test_a_comment_in_a_block_of_code_is_no_heading():
    checks = example("satellite-link").passages[1]
    assert "# the modem's own view" in checks.text
    assert "show carrier" in checks.text


def test_what_stands_below_the_title_is_searched_with_each_part():
    found = read_runbook("r", "# Link\n\nThe ship is cut off.\n\n## Fix\n\nrestart it\n").passages
    assert [one.id for one in found] == ["r#link", "r#fix"]
    assert found[1].text == "restart it"
    assert found[1].whole == "Link — Fix\nThe ship is cut off.\nrestart it"
    assert found[0].whole == "Link\nThe ship is cut off."


def test_front_matter_says_whom_it_is_for_and_is_no_text():
    passage = example("satellite-link").passages[0]
    assert passage.domain == ("comms",)
    assert passage.ship == ("*",)
    assert "domains" not in "".join(one.text for one in example("satellite-link").passages)
    assert passage.fits({"domain": "comms", "ship": "s1"})
    assert not passage.fits({"domain": "net"})
    assert example("dhcp").passages[0].fits({"domain": "net", "category": "x"})


def test_a_long_section_is_cut_between_paragraphs_and_loses_nothing():
    paragraphs = [f"Paragraph {n}: " + "look at the link. " * 15 for n in range(9)]
    found = read_runbook("long", "# T\n\n## S\n\n" + "\n\n".join(paragraphs))
    assert len(found.passages) > 1
    assert [one.id for one in found.passages][:3] == ["long#s", "long#s-2", "long#s-3"]
    assert all(len(one.text) <= PASSAGE_MOST for one in found.passages)
    whole = "\n\n".join(one.text for one in found.passages)
    assert [line.strip() for line in whole.splitlines() if line] == [p.strip() for p in paragraphs]


def test_two_headings_of_one_name_have_two_ids_and_deeper_ones_their_path():
    text = "# T\n\n## Checks\n\na\n\n### On the switch\n\nb\n\n## Checks\n\nc\n"
    found = read_runbook("r", text).passages
    assert [one.id for one in found] == ["r#checks", "r#on-the-switch", "r#checks-2"]
    assert found[1].title == "T — Checks — On the switch"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no text"),
        ("# Only a heading\n\n## And another\n", "no text"),
        ("---\ndomains: [a\n---\n# T\n\nx", "not YAML"),
        ("---\n- a\n---\n# T\n\nx", "no keys"),
        ("---\ndomains: comms\n---\n# T\n\nx", "domains: a list of names"),
        ("---\nships: []\n---\n# T\n\nx", "ships: a list of names"),
        ("---\nships: [1]\n---\n# T\n\nx", "ships: a list of names"),
        ("# T\n" + "".join(f"\n## H{n}\n\nx\n" for n in range(PASSAGES_MOST + 1)), "more than"),
        ("---\n" + "a: b\n" * 2000 + "---\n# T\n\nx", "front matter has more than"),
        ("---\na: " + "[" * 3900 + "\n---\n# T\n\nx", "not YAML"),
        ("---\na: 2026-99-99\n---\n# T\n\nx", "month must be"),
        ("---\na: !!bool maybe\n---\n# T\n\nx", "not YAML"),
        ("---\na: !!int ''\n---\n# T\n\nx", "not YAML"),
        ("---\na: !!timestamp x\n---\n# T\n\nx", "not YAML"),
    ],
)
def test_a_runbook_with_a_mistake_is_refused_with_what_is_wrong(text, said):
    with pytest.raises(ValueError, match=said):
        read_runbook("r", text)


@given(st.text(alphabet=st.sampled_from("#-`~ \nab:["), max_size=200))
def test_any_text_is_read_or_refused_and_cut_to_what_the_model_reads(text):
    try:
        found = read_runbook("r", text)
    except ValueError:
        return
    assert found.passages
    assert all(0 < len(one.text) <= PASSAGE_MOST for one in found.passages)
    assert len({one.id for one in found.passages}) == len(found.passages)


@pytest.mark.parametrize(
    "text", ["# " + " #" * 120_000, "# a\n\nx\n" * 30_000, "\n" * 250_000, "# a" + " " * 250_000]
)
def test_a_large_file_takes_no_long_time(text):
    started = time.perf_counter()
    with contextlib.suppress(ValueError):
        read_runbook("r", text)
    assert time.perf_counter() - started < 5


def test_files_with_mistakes_are_named_and_the_others_are_read(tmp_path):
    folder = tmp_path / "runbooks"
    (folder / "net").mkdir(parents=True)
    (folder / "net" / "dns.md").write_text("# DNS\n\nAsk the resolver.\n")
    (folder / "binary.md").write_bytes(b"# T\n\n\xff\xfe\xfa")
    (folder / "huge.md").write_text("# T\n\n" + "x" * LARGEST)
    (folder / "empty.md").write_text("")
    (folder / "gone.md").symlink_to(folder / "nowhere")
    (folder / "folder.md").mkdir()
    (folder / ".draft.md").write_text("# Draft\n\nx\n")
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("# Coffee\n\nx\n")
    (folder / "notes.txt").write_text("# Notes\n\nx\n")
    found = read_folder(tmp_path)
    assert list(found.runbooks) == ["net/dns"]
    assert set(found.left_out) == {
        "runbooks/caf\ufffd.md",
        "runbooks/binary.md",
        "runbooks/empty.md",
        "runbooks/folder.md",
        "runbooks/gone.md",
        "runbooks/huge.md",
    }
    assert found.left_out["runbooks/binary.md"] == "it is not text in UTF-8"


def test_the_ships_own_runbook_replaces_ours_of_the_same_name(tmp_path):
    for folder, text in (("runbooks", "ours"), ("site/runbooks", "the site's")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "dns.md").write_text(f"# DNS\n\n{text}\n")
    [passage] = read_folder(tmp_path).runbooks["dns"].passages
    assert passage.text == "the site's"


def test_without_a_folder_there_is_no_runbook(tmp_path):
    assert read_folder(tmp_path) == ({}, {})


def test_a_folder_that_cannot_be_listed_is_named_and_the_other_one_is_read(tmp_path, monkeypatch):
    for folder in ("runbooks", "site/runbooks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "dns.md").write_text(f"# DNS\n\n{folder}\n")
    rglob = Path.rglob

    def failing(self, pattern):
        if self == tmp_path / "runbooks":
            raise OSError(errno.EIO, "Input/output error")
        return rglob(self, pattern)

    monkeypatch.setattr(Path, "rglob", failing)
    found = read_folder(tmp_path)
    assert list(found.runbooks) == ["dns"]
    assert found.left_out == {"runbooks": "Input/output error"}
