"""The runbooks have one structure: a watch officer finds the same thing in the same place."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUNBOOKS = sorted((ROOT / "policies/runbooks").glob("*.md"))
TOPICS = {
    *("satellite-link", "antenna", "l-band-fallback", "firewall-failover", "dns", "dhcp", "ntp"),
    *("disk", "raid", "database", "wifi-controller", "cctv", "voip", "certificate", "ups"),
    *("switch-loop", "credential-attack", "gnss-jamming", "engine-gateway", "backup"),
}
SECTIONS = ["Symptoms", "Checks", "Fix", "Call", "Do not"]
FEWEST = {"Symptoms": 3, "Checks": 4, "Fix": 3, "Call": 2, "Do not": 3}
NUMBERED = {"Checks", "Fix"}
LONGEST = 1000  # characters of a section: a model of embeddings reads about as many
CODE = re.compile(r"`([^`]+)`")
PROGRAMS = {"dig", "ping", "df", "du", "grep", "journalctl", "openssl", "smartctl", "tcpdump"}

each = pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)


def parts(path: Path) -> tuple[str, str, dict[str, list[str]]]:
    """Title, introduction, and the items of each section by its heading."""
    head, *sections = path.read_text(encoding="utf-8").split("\n## ")
    title, introduction = head.split("\n\n", 1)
    return title, introduction.strip(), dict(map(items, sections))


def items(section: str) -> tuple[str, list[str]]:
    heading, text = section.split("\n\n", 1)
    begun = re.split(r"^(?=- |\d+\. )", text.strip(), flags=re.MULTILINE)
    return heading, [" ".join(item.split()) for item in begun if item]


def test_there_is_one_for_each_topic():
    assert {path.stem for path in RUNBOOKS} == TOPICS


@each
def test_its_title_is_its_name(path):
    title, introduction, _ = parts(path)
    assert title.removeprefix("# ").lower().replace(" ", "-").replace("wi-fi", "wifi") == path.stem
    assert introduction.endswith(".")
    assert introduction.count("\n") <= 1


@each
def test_it_has_the_sections_in_their_order(path):
    _, _, found = parts(path)
    assert list(found) == SECTIONS
    assert {name: len(found[name]) for name in SECTIONS if len(found[name]) < FEWEST[name]} == {}


@each
def test_checks_and_fixes_are_in_order_and_the_rest_has_none(path):
    for name, found in parts(path)[2].items():
        marks = [item.split(" ")[0] for item in found]
        numbers = [f"{n}." for n in range(1, len(found) + 1)]
        wanted = numbers if name in NUMBERED else ["-"] * len(found)
        assert marks == wanted


@each
def test_the_checks_have_commands_that_a_shell_reads(path):
    assert [code for item in parts(path)[2]["Checks"] for code in CODE.findall(item)]
    for code in CODE.findall(path.read_text(encoding="utf-8")):
        assert "\n" not in code
        if code.split(" ")[0] in PROGRAMS:
            subprocess.run(["bash", "-n"], input=code, text=True, check=True)


@each
def test_what_not_to_do_says_so(path):
    found = parts(path)[2]["Do not"]
    assert [item for item in found if not item.startswith("- Do not ")] == []


@each
def test_a_section_is_short_enough_to_be_found(path):
    long = {name: sum(map(len, found)) for name, found in parts(path)[2].items()}
    assert {name: n for name, n in long.items() if n > LONGEST} == {}
