"""``vector/vector.toml`` on two engines of Vector's language, and against the tables and messages
that its events become."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from aiops_core.models import LogEntry, MetricSample
from tests.conftest import ROOT
from tests.vrl import Older, VectorFile, newer

SENDER = "10.1.0.7"
CASES = ROOT / "tests/normaliser_cases"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "vector/vector.toml").read_text())


@pytest.fixture(scope="module")
def on_newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorFile]:
    with newer(tmp_path_factory.mktemp("vrl")) as engine:
        yield VectorFile(engine)


@pytest.fixture(scope="module", params=["vrl-python", "vector-vrl"])
def vector(request: pytest.FixtureRequest) -> VectorFile:
    if request.param == "vrl-python":
        return VectorFile(Older())
    found: VectorFile = request.getfixturevalue("on_newer")
    return found


# ----------------------------------------------------------------------------------------- the file


def test_logs_raw_gets_what_the_table_has_columns_for(vector: VectorFile):
    schema = "".join(path.read_text() for path in sorted((ROOT / "clickhouse").glob("*.sql")))
    table = re.search(r"TABLE IF NOT EXISTS logs\.raw\s*\((.*?)\n\)", schema, re.DOTALL)
    assert table
    columns = set(re.findall(r"^\s+([a-z_]+) [A-Z]", table[1], re.MULTILINE))
    left_out = set(vector.settings["sinks"]["logs_raw"]["encoding"]["except_fields"])
    assert left_out == {"schema_version", "stages"}
    assert vector.entry("hello").keys() - left_out == columns


def test_each_line_is_published_once_under_its_tracking_id(settings):
    for sink, subject in {
        "logs_ingested": "logs.ingested",
        "metrics_sampled": "metrics.sampled",
    }.items():
        assert settings["sinks"][sink]["subject"] == subject
        assert settings["sinks"][sink]["jetstream"] == {
            "enabled": True,
            "headers": {"message_id": "{{ tracking_id }}"},
        }


def test_lines_wait_on_disk_for_receivers_that_are_away(settings):
    for sink in ("logs_raw", "logs_ingested"):
        assert settings["sinks"][sink]["buffer"]["type"] == "disk"
        assert settings["sinks"][sink]["acknowledgements"]["enabled"] is True


def test_the_whole_line_is_sent_to_be_judged(vector: VectorFile):
    assert vector.settings["sinks"]["logs_ingested"]["encoding"]["except_fields"] == [
        "ingestion_timestamp"
    ]
    [event] = vector.through({"message": "<34>hello", "host": SENDER}, "frames", "to_judge")
    sent = {key: value for key, value in event.items() if key != "ingestion_timestamp"}
    entry = LogEntry.model_validate(sent, extra="forbid")
    assert (entry.raw, entry.msg, entry.labels) == ("<34>hello", "hello", {"sender": SENDER})


def test_its_own_tests_pass(vector: VectorFile):
    wrong = {test["name"]: vector.failing(test) for test in vector.settings["tests"]}
    assert len(wrong) >= 6 and not any(wrong.values()), wrong


def test_a_condition_that_does_not_hold_fails(vector: VectorFile):
    assert vector._fault("assert_eq!(.a, 2)", {"a": 1}) and not vector._fault("true", {"a": 1})


# --------------------------------------------------------------------------------------- the frames

FRAMES = {
    "one line": ("<13>hello", ["<13>hello"]),
    "newlines": ("<13>one\n<13>two\n", ["<13>one", "<13>two"]),
    "CR and LF": ("<13>one\r\n<13>two\r\n", ["<13>one", "<13>two"]),
    "CR alone": ("<13>one\r<13>two", ["<13>one", "<13>two"]),
    "NUL at the end": ("<13>one\x00", ["<13>one"]),
    "NUL between": ("<13>one\x00<13>two\x00", ["<13>one", "<13>two"]),
    "a count": ("7 <13>one", ["<13>one"]),
    "a count with its newline": ("8 <13>one", ["<13>one"]),
    "a count that is wrong": ("999 <13>one", ["<13>one"]),
    "counts of characters may be text": ("7 <13>one9 <13>zw\u00f6lf", ["<13>one9 <13>zw\u00f6lf"]),
    "two counts of octets": ("7 <13>one11 <13>zw\u00f6lf!", ["<13>one", "<13>zw\u00f6lf!"]),
    "a count, then lines": ("15 <13>one\n  at two", ["<13>one", "  at two"]),
    "digits of the text": ("17 <13>got 12 <24> x", ["<13>got 12 <24> x"]),
    "a date is no count": ("2026-11-30 12:00:00 one", ["2026-11-30 12:00:00 one"]),
    "JSON over lines": ('{\n "msg": "one"\n}', ['{\n "msg": "one"\n}']),
    "no JSON over lines": ("{one\ntwo}", ["{one", "two}"]),
    "blank": (" \r\n\x00 ", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_came_in_is_cut_into_lines(vector: VectorFile, name: str):
    came, lines = FRAMES[name]
    found = vector.through({"message": came, "host": SENDER}, "frames", "frames")
    assert found == [{"message": line, "host": SENDER} for line in lines]


# -------------------------------------------------------------------------------- the line's fields

LINES: dict[str, dict[str, Any]] = {
    "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed": {
        "host": "mymachine",
        "service": "su",
        "level": "critical",
        "msg": "'su root' failed",
        "labels": {"sender": SENDER, "facility": "auth", "process.pid": "12"},
    },
    "Jun 14 15:16:01 combo sshd(pam_unix)[99]: authentication failure": {
        "host": "combo",
        "service": "sshd",
        "level": "info",
        "labels": {"sender": SENDER, "module": "pam_unix", "process.pid": "99"},
    },
    '<165>1 2003-10-11T22:14:15.003Z nav-1 ecdis 111 ID47 [unit@32473 axis="3"] chart updated': {
        "host": "nav-1",
        "ts": "2003-10-11T22:14:15.003000Z",
        "level": "info",
        "labels": {
            "sender": SENDER,
            "facility": "local4",
            "process.pid": "111",
            "msgid": "ID47",
            "unit@32473.axis": "3",
        },
    },
    "<187>: 2024 Mar 3 10:11:12 UTC: %LINK-3-UPDOWN: Interface down": {
        "host": SENDER,
        "service": "syslog",
        "level": "error",
        "msg": "2024 Mar 3 10:11:12 UTC: %LINK-3-UPDOWN: Interface down",
    },
    "a line that is nothing": {"level": "info", "host": SENDER, "msg": "a line that is nothing"},
    "ERROR: no priority, but a word": {"level": "error"},
    "<999>no priority either": {"level": "info", "msg": "<999>no priority either"},
    "\tat com.example.Main(Main.java:7)": {"msg": "at com.example.Main(Main.java:7)"},
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_becomes_a_log_entry(vector: VectorFile, line: str):
    event = vector.entry(line)
    entry = LogEntry.model_validate(event)
    assert event["raw"] == line
    assert {key: event[key] for key in LINES[line]} == LINES[line]
    assert entry.ship_id == "mv-test"
    assert entry.device_id == entry.host
    assert event["stages"] == {"ingest": event["ingestion_timestamp"]}


def test_two_equal_lines_are_two_messages(vector: VectorFile):
    assert vector.entry("again")["tracking_id"] != vector.entry("again")["tracking_id"]


def test_a_clock_that_runs_ahead_does_not_put_a_line_into_the_future(vector: VectorFile):
    event = vector.entry("<13>1 2999-01-01T00:00:00Z clock app - - - from the future")
    assert event["ts"] == event["ingestion_timestamp"]
    assert event["labels"]["log.stated_time"] == "2999-01-01T00:00:00.000000Z"


def test_a_gauge_of_the_host_becomes_a_metric_sample(vector: VectorFile):
    reading = {
        "name": "filesystem_used_ratio",
        "namespace": "host",
        "tags": {"host": "edge", "collector": "filesystem", "mountpoint": "/var/lib/vector"},
        "gauge": {"value": 0.93},
    }
    [event] = vector.through(reading, "metric_sample", "metric_sample")
    sample = MetricSample.model_validate(event)
    assert (sample.metric, sample.value) == ("host_filesystem_used_ratio", 0.93)
    assert (sample.unit, sample.labels) == ("ratio", {"mountpoint": "/var/lib/vector"})


# ---------------------------------------------------------------------- the table of the normaliser


def lines_of_the_table() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, sender, line, and what Vector says of it: empty when nobody wrote it down."""
    for file in sorted(CASES.glob("*.yaml")):
        for row in yaml.safe_load(file.read_text()) or []:
            sender = (row.get("args") or {}).get("host", SENDER)
            for n, line in enumerate(row.get("lines") or [row["line"]]):
                name = f"{file.stem}: {row['name']}" + (f" {n}" if n else "")
                yield name, sender, line, row.get("vector", {}) if n == 0 else {}


TABLE = list(lines_of_the_table())
SAME = ("host", "device_id", "service", "level", "msg", "source", "labels", "raw")


def test_a_line_of_the_table_is_kept_whole_whatever_vector_makes_of_it(vector: VectorFile):
    wrong = {}
    for name, sender, line, told in TABLE:
        events = vector.through({"message": line, "host": sender}, "frames", "to_judge")
        entries = [LogEntry.model_validate(event) for event in events]
        kept = [entry.raw for entry in entries if len(entry.tracking_id) == 36]
        if kept != _framed(line):
            wrong[name] = kept
        event = vector.through({"message": line, "host": sender}, "frames", "log_entry")[0]
        if (got := {key: event.get(key) for key in told}) != told:
            wrong[name] = got
    assert not wrong


def test_both_engines_read_the_same_of_each_line_of_the_table(on_newer: VectorFile):
    older = VectorFile(Older())
    for name, sender, line, _ in TABLE:
        came = {"message": line, "host": sender}
        one, other = (
            [
                {key: event[key] for key in SAME}
                for event in file.through(came, "frames", "log_entry")
            ]
            for file in (older, on_newer)
        )
        assert one == other, name


def _framed(line: str) -> list[str]:
    """What of *line* is sent to be judged."""
    if line.lstrip().startswith("{"):
        return [line.rstrip("\0\n\r\t ")]
    text = re.sub(r"^\d{1,6} (?=<\d)", "", line)
    cut = (one.rstrip() for one in re.split(r"[\r\n\0]+", text))
    return [one for one in cut if one.strip()]
