"""Entries that cannot be read back: skipped, counted, named."""

import json
from datetime import UTC, datetime

import pytest

from aiops_core import metrics, unreadable
from aiops_core.bus import LARGEST, Stored
from aiops_core.models import AnomalyDetected
from aiops_core.probe import Readiness
from aiops_core.unreadable import read_stored
from aiops_core.utils import StructuredLogger
from tests.incident_cases import detected

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_skipped(monkeypatch):
    monkeypatch.setattr(unreadable, "SKIPPED", {})
    monkeypatch.setattr("aiops_core.probe.SKIPPED", unreadable.SKIPPED)


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
