"""Entries that cannot be read back: skipped, counted, named."""

import json
from datetime import UTC, datetime

import pytest

from aiops_core.models import AnomalyDetected
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime import unreadable
from aiops_core.runtime.bus import LARGEST, Stored
from aiops_core.runtime.unreadable import read_stored
from aiops_core.utils import StructuredLogger
from tests.incident_cases import detected

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_skipped(monkeypatch):
    monkeypatch.setattr(unreadable, "SKIPPED", {})
    monkeypatch.setattr("aiops_core.observability.probe.SKIPPED", unreadable.SKIPPED)


def stored(data: bytes, subject: str = AnomalyDetected.subject, sequence: int = 7) -> Stored:
    return Stored(subject, data, NOW, sequence)


def test_a_good_entry_is_its_message():
    message = detected(1)
    assert read_stored(stored(message.model_dump_json().encode()), "test.reader") == message
    assert not unreadable.SKIPPED


@pytest.mark.parametrize(
    ("data", "subject"),
    [
        (b"", AnomalyDetected.subject),
        (b"{", AnomalyDetected.subject),
        (b"\xff\xfe", AnomalyDetected.subject),
        (b"[" * 100_000, AnomalyDetected.subject),
        (b"{}", AnomalyDetected.subject),
        (b"{}", "anomaly.of.another.version"),
        (b" " * (LARGEST + 1), AnomalyDetected.subject),
    ],
)
def test_a_bad_one_is_skipped_counted_and_named(data, subject):
    counter = metrics.UNREADABLE.labels("test.reader")
    before = counter._value.get()
    assert read_stored(stored(data, subject), "test.reader") is None
    assert counter._value.get() == before + 1
    told = Readiness("x").report()["unreadable"]["test.reader"]
    assert told.startswith(f"1 skipped, the newest is {subject} 7: ")
    assert "\n" not in told


def test_a_million_bad_ones_do_not_flood_the_log(capsys):
    StructuredLogger.configure("info")
    for n in range(1000):
        read_stored(stored(b"{", sequence=n), "test.reader")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(said) < 25
    assert said[-1]["count"] == 512


def test_an_entry_that_is_read_again_counts_once(capsys):
    StructuredLogger.configure("info")
    for _ in range(3):
        for n in range(5):
            read_stored(stored(b"{", sequence=n), "test.again")
    assert metrics.UNREADABLE.labels("test.again")._value.get() == 5
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_what_is_remembered_of_the_skipped_is_bounded():
    for n in range(unreadable.KNOWN * 2):
        unreadable.skip("test.reader", f"{n}" + "x" * 10_000, "y" * 10_000)
    [skipped] = unreadable.SKIPPED.values()
    assert (skipped.count, len(skipped.known)) == (unreadable.KNOWN * 2, unreadable.KNOWN)
    assert max(map(len, skipped.known)) < 600


def test_what_stood_in_an_entry_is_not_told():
    """A line may hold a password; the log and /ready are read by others."""
    found = detected(1).model_dump(mode="json") | {"severity": "hunter2", "score": "hunter2"}
    read_stored(stored(json.dumps(found).encode()), "test.reader")
    [skipped] = unreadable.SKIPPED.values()
    assert "score: Input should be a valid number" in skipped.newest
    assert "hunter2" not in skipped.newest


def test_of_several_entries_all_that_can_be_read_are_given():
    found = unreadable.read_all(["1", "x", "3", ""], "test.reader", int, name=lambda text: text)
    assert found == [1, 3]
    assert unreadable.SKIPPED["test.reader"].count == 2
