"""What an explanation states must stand in the facts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aiops_core.models import Domain, Evidence, Incident, LlmInsights, Severity
from aiops_lab.evaluation.insight.support import unsupported
from llm_enricher.question import ContextFact, Question

T = datetime(2026, 11, 12, 3, 12, 7, tzinfo=UTC)
MSG = "Disk failure on sdc1, disabling device; link 12.4 dB"
EVIDENCE = Evidence(
    anomaly_id="a-1",
    tracking_id="t-1",
    ts=T,
    domain=Domain.SYSTEM,
    anomaly_type="storage_error",
    host="nas-01",
    service="kernel",
    severity=Severity.HIGH,
    score=0.9,
    msg=MSG,
)
QUESTION = Question(
    incident=Incident(
        tracking_id="t-1",
        ship_id="ship",
        ts=T,
        id="i-1",
        title="Storage error on nas-01",
        severity=Severity.HIGH,
        domain=Domain.SYSTEM,
        affected_devices=("nas-01",),
        evidence=(EVIDENCE,),
        anomaly_count=7,
        first_seen=T,
        last_seen=T.replace(minute=32),
        created_at=T,
        updated_at=T,
    ),
    context=(ContextFact(id="line:x", kind="line", ts=T, device="fw-01", text="loss 0 %"),),
)


def found(cause: str, narrative: str = "") -> list[str]:
    answer = LlmInsights(root_cause=cause, narrative=narrative, source="rules")
    return unsupported(answer, QUESTION)


@pytest.mark.parametrize(
    "text",
    [
        "sdc1 of nas-01 fails.",
        "The link has 12.4 dB, with a loss of 0 % at fw-01.",
        "It said “Disk failure on sdc1, … 12.4 dB”.",
        'It said "Disk failure on sdc1".',
        "7 anomalies from 2026-11-12 03:12:07 UTC to 03:32:07, for 20 minutes.",
        "802.1X and Es/N0 are words of the field.",
    ],
)
def test_what_the_facts_have_is_supported(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("sdd1 of nas-01 fails.", ["sdd1"]),
        ("sdc of nas-02 fails.", ["sdc", "nas-02"][1:]),
        ("The link has 2.4 dB.", ["2.4"]),
        ("It came from 10.20.30.41.", ["10.20.30.41"]),
        ("It said “all is well”.", ["“all is well”"]),
        ("It began at 04:00.", ["04:00"]),
        ("The host evil.example.org is behind it.", ["evil.example.org"]),
    ],
)
def test_what_they_have_not_is_named(text: str, missing: list[str]) -> None:
    assert found(text) == missing
    assert found("A disk fails.", text) == missing


def test_what_is_advised_is_no_claim() -> None:
    answer = LlmInsights(root_cause="x", recommendations=("Wait 15 minutes.",), source="rules")
    assert unsupported(answer, QUESTION) == []
