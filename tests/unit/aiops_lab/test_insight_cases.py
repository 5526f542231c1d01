"""The written incidents: their right answers pass, and what they rule out can be seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.insight import cases
from aiops_lab.evaluation.insight.cases import WrittenCase
from aiops_lab.evaluation.insight.claims import advises, claims, names

AS_WRITTEN = "2b9d659c961385df32cd9a687a47dbd1906bdca8ef982b8f587615c71ef7c86a"  # sha256

WRITTEN = [*cases.load(), *cases.load(cases.HELD_OUT)]


def test_the_cases_that_were_there_before_the_rules_stay_as_they_are() -> None:
    assert hashlib.sha256(cases.COMMITTED.read_bytes()).hexdigest() == AS_WRITTEN


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.id)
def test_the_right_answer_passes(case: WrittenCase) -> None:
    for fault in case.faults:
        said, advised = fault.right.root_cause, fault.right.recommendations
        assert [c for c in fault.cause if not names(said, c)] == []
        assert [a for a in fault.actions if not any(names(text, a) for text in advised)] == []
        assert [f.because for f in case.forbidden if claims(said, f.claim)] == []
        harm = [h for h in case.harmful if any(advises(text, h.advice) for text in advised)]
        assert harm == []


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        ("The satellite link is down.", True),
        ("The certificate has expired; no link is down.", False),
        ("It is not that the link is down.", False),
        ("fw-01 says “the link is down”.", False),
        ("The certificate is not valid, and the link is down.", True),
        ("That the link is down is ruled out.", False),
    ],
)
def test_what_is_negated_or_quoted_is_no_claim(text: str, claimed: bool) -> None:
    assert bool(claims(text, ["link is down"])) is claimed


@pytest.mark.parametrize(
    ("text", "advised"),
    [
        ("Restart the modem.", True),
        ("Do not restart the modem.", False),
        ("Never move the antenna, restart the modem or open the dome.", False),
        ("Wait for ten minutes. Then restart the modem.", True),
        ("Call the provider rather than restart the modem.", False),
    ],
)
def test_not_to_do_something_is_no_such_advice(text: str, advised: bool) -> None:
    assert bool(advises(text, ["restart the modem"])) is advised


def test_a_wording_begins_with_a_word() -> None:
    assert advises("Lock the account.", ["lock the account"])
    assert not advises("Unlock the account.", ["lock the account"])
    assert not claims("A sensor or its wiring has failed.", ["ring has failed"])


def test_a_denied_concept_is_not_named() -> None:
    assert names("GNSS reception is jammed.", ["jamm"])
    assert not names("It is not jamming.", ["jamm"])
    assert names("It is not known why the gateway is silent.", ["gateway"])


def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    text = cases.COMMITTED.read_text(encoding="utf-8")
    file.write_text(text.replace("domain: comms", "domain: sea", 1), encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"cases\.yaml:\d+: cases\.0\.domain"):
        cases.load(file)
