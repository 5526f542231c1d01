"""What saves time must not change what is read: guards, and the short way of plain headers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.normaliser import payloads, syslog
from aiops_core.normaliser.app_table import APP_FIRST, APP_FORMATS
from aiops_core.normaliser.containers import STREAM
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.format_table import FormatTable
from aiops_core.normaliser.guards import Guarded, Guards
from aiops_core.normaliser.normaliser import clean, normalise
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.payloads import PAYLOADS
from aiops_core.normaliser.text_formats import FORMATS

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "normaliser_cases"


def lines() -> list[str]:
    rows: list[dict[str, Any]] = []
    for file in sorted(FOLDER.glob("*.yaml")):
        rows += yaml.safe_load(file.read_text()) or []
    return [clean(line) for row in rows for line in row.get("lines") or [row["line"]]]


LINES = lines()
HEADERS = (
    "<30>Nov 30 11:59:00 {host} {tag}: text",
    "Nov 30 11:59:00 {host} {tag}: text",
    "<30>2026-11-30T11:59:00.123+00:00 {host} {tag}: text",
    "<30>2026-11-30T11:59:00Z {host} {tag}:  text",
    "<30>Feb 29 11:59:00 {host} {tag}: text",
    "<30>Dec  2 11:59:00 {host} {tag}: ERROR: text",
    "<30>Dec 32 11:59:00 {host} {tag}: text",
    "<300>Nov 30 11:59:00 {host} {tag}: text",
)
HOSTS = ("sw-1", "SW-1", "UTC", "CORE", "2026", "10.20.0.5", "user.info", "last", "Nov", "fw.lan")
TAGS = (
    *("sshd[19]", "CRON[7]", "kernel", "Severity", "error", "error[1]", "a/b", "MSTP", "x[ab]"),
    *("NetworkManager[1]", "IFNET/3/PHY[1]", "30", "_x", "last message", "su(pam)[1]", "d.err"),
)


@pytest.mark.parametrize("header", HEADERS)
def test_the_short_way_reads_what_the_whole_one_does(header: str):
    for host in HOSTS:
        for tag in TAGS:
            line = header.format(host=host, tag=tag)
            assert syslog.read(line, NOW) == syslog.read_any(line, NOW), line


def test_the_short_way_reads_the_cases_as_the_whole_one_does():
    for line in LINES:
        assert syslog.read(line, NOW) == syslog.read_any(line, NOW), line


def test_a_format_that_reads_a_line_is_possible():
    for formats in (FORMATS, (*APP_FIRST, *APP_FORMATS)):
        table = FormatTable(formats)
        for line in LINES:
            possible = table.possible(line)
            for one in formats:
                begins = table.named(one.name, line)
                if begins is one and one.read(line, NOW):
                    assert one in possible, (one.name, line)


def test_what_a_payload_begins_with_is_in_all_that_it_reads():
    guarded = [one for one in PAYLOADS if one.begins]
    for line in LINES:
        found = normalise(line, NOW, SenderContext())
        for text in {line, found.msg}:
            for payload in guarded:
                if payload.read(ParsedLine(text, host="sw-1", service="x"), NOW):
                    assert re.match(payload.begins or "", text), (payload.read, text)


PIECES = ("", "<27>", "12:00:00 ", "Nov 30 ", "30 Nov 2026 ", "ERROR ", "[", "(", ": ", " | ", "=")


@st.composite
def altered(draw: st.DrawFn) -> str:
    """A line of the cases, or its message, with a part of another line or a piece within."""
    line = draw(st.sampled_from(LINES))
    text = draw(st.sampled_from((line, normalise(line, NOW, SenderContext()).msg)))
    start, end = sorted((draw(st.integers(0, 40)), draw(st.integers(0, 40))))
    tail = draw(st.one_of(st.just(text[end:]), st.sampled_from(LINES).map(lambda one: one[end:])))
    return text[:start] + draw(st.sampled_from(PIECES)) + tail


@given(altered())
def test_a_reader_that_reads_a_message_is_possible(text: str):
    line = ParsedLine(text, host="sw-1", service="x")
    in_container = line._replace(labels={STREAM: "stderr"})
    possible = payloads.possible(text)
    for payload in PAYLOADS:
        if payload.services or payload.labels:
            continue
        if not payload.starts or text[:1] in payload.starts:
            for one in (line, in_container):
                assert payload.read in possible or payload.read(one, NOW) is None, payload.read


@given(altered())
def test_a_format_that_reads_an_altered_line_is_possible(text: str):
    formats = (*APP_FIRST, *APP_FORMATS)
    possible = APP_TABLE.possible(text)
    for one in formats:
        if APP_TABLE.named(one.name, text) is one and one not in possible:
            assert one.read(text, NOW) is None, one.name


APP_TABLE = FormatTable((*APP_FIRST, *APP_FORMATS))


def test_a_reader_of_several_formats_is_possible_once():
    guards = Guards([Guarded("x", begins="a"), Guarded("x", has="z"), Guarded("y", begins="b")])
    assert guards.possible("az") == ("x", "y")
    assert guards.possible("b") == ("y",)
    assert guards.possible("z") == ("x",)


def test_readers_are_possible_in_their_order():
    guards = Guards(
        [Guarded("any"), Guarded("b", begins="ab"), Guarded("has", has="z"), Guarded("c", "", "a")]
    )
    assert guards.possible("abz") == ("any", "b", "has", "c")
    assert guards.possible("ac") == ("any", "c")
    assert guards.possible("x") == ("any",)
    assert Guards[str]([]).possible("x") == ()
