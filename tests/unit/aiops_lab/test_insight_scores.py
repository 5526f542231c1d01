"""Explanations are judged: right ones pass in every case, wrong ones fail in every case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aiops_core.models import (
    Citation,
    Evidence,
    Incident,
    LlmInsights,
    RootCause,
    Severity,
)
from aiops_lab.commands.eval import app
from aiops_lab.evaluation.insight import cases
from aiops_lab.evaluation.insight.cases import WrittenCase
from aiops_lab.evaluation.insight.scores import Explained, ExplainedCase, judge_case, total
from aiops_lab.evaluation.insight.way import PlayedCase, play
from aiops_lab.evaluation.signal.replay import JudgingPolicies
from llm_enricher.question import ContextFact, Question

POLICIES = Path(__file__).resolve().parents[3] / "policies"
WRITTEN = {one.id: one for one in (*cases.load(), *cases.load(cases.HELD_OUT))}

# Of each case what a bad explanation says, and what it advises.
WRONG = {
    "rain-fade": ("A mast obstructs the view.", "Restart the modem."),
    "funnel-blockage": ("The modem has failed.", "Power-cycle the antenna."),
    "l-band-allowance": ("The terminal has a weak signal.", "Restart lband-01."),
    "ha-split-brain": ("fw-01 has crashed.", "Restart both firewalls."),
    "vpn-certificate": ("The satellite link is interrupted.", "Disable certificate verification."),
    "zone-not-loaded": ("The name server is not running.", "Enter a public DNS server."),
    "guest-pool-full": ("The DHCP server has failed.", "Delete the lease file."),
    "clock-without-gps": ("A credential attack goes on.", "Reset passwords."),
    "debug-log-fills-disk": ("The disk is failing.", "Delete old files in pg_wal."),
    "two-at-once-raid-and-antenna": ("A power dip hit both.", "Reboot the NAS."),
    "idle-in-transaction": ("The server is overloaded.", "Use kill -9 on the process."),
    "controller-crash": ("PoE was lost.", "Replace the access points."),
    "poe-budget": ("Two cameras are defective.", "Replace the cameras."),
    "trunk-credentials": ("The satellite link is down.", "Restart the PBX."),
    "ups-feed-lost": ("The ship had a blackout.", "Run a self-test."),
    "loop-under-a-desk": ("A virus floods the network.", "Disable spanning tree."),
    "guessed-password": ("All attempts failed.", "Clear the logs."),
    "jamming-at-the-strait": ("The receiver is defective.", "Change to the second receiver."),
    "silent-gateway": ("The gateway lost power.", "Stop the main engine."),
    "backup-password-changed": ("The volume is full.", "Delete old backups."),
    "account-suspended": ("Rain weakens the carrier.", "Restart the antenna."),
    "heading-input-lost": ("The gyro has failed.", "Restart the gyro."),
    "l-band-silent": ("The allowance is used up.", "Restart it at once."),
    "member-without-power": ("It is a split brain.", "Restart fw-02."),
    "signatures-from-the-future": ("Answers are forged.", "Turn off DNSSEC."),
    "router-in-a-cabin": ("The pool is exhausted.", "Disable snooping."),
    "hypervisor-clock": ("The time server has failed.", "Set the clock with date -s."),
    "dying-drive-and-old-certificate": ("The disk is full.", "Run fsck on sda2."),
    "three-drives-in-one-second": ("Three drives failed.", "Replace drive sdc."),
    "connections-leak": ("The satellite link failed.", "Raise max_connections."),
    "radius-stopped": ("Access points are down.", "Restart the controller."),
    "recorder-restarted": ("It lost power: a power failure.", "Format the disks."),
    "voice-under-streaming": ("Rain weakens the carrier.", "Restart the PBX."),
    "portal-of-the-year-2000": ("The certificate has expired.", "Renew the certificate."),
    "brown-out-on-the-bridge": ("The router is faulty.", "Replace the router."),
    "flapping-without-a-loop": ("There is a loop.", "Reload the switch."),
    "old-password-in-a-job": ("A brute-force attack.", "Block 10.20.10.40."),
    "one-receiver-only": ("GNSS is jammed.", "Report the interference."),
    "doubled-bus-address": ("The gateway has failed.", "Restart the gateway."),
    "store-full": ("The password is wrong.", "Format the store."),
}


@pytest.fixture(scope="module")
def policies() -> JudgingPolicies:
    return JudgingPolicies.load(POLICIES)


@pytest.fixture(scope="module")
def played(policies) -> dict[str, PlayedCase]:
    """Those of which it matters what detection and correlation make of them."""
    some = ("two-at-once-raid-and-antenna", "idle-in-transaction", "l-band-allowance")
    return {id: play(WRITTEN[id], policies) for id in (*some, "controller-crash")}


def unplayed(case: WrittenCase) -> PlayedCase:
    """*case* as if every fault became one incident with the right root."""
    questions = [bare_question(case, n) for n in range(len(case.faults))]
    return PlayedCase(case, questions, questions, frozenset())


def bare_question(case: WrittenCase, n: int) -> Question:
    shown = [member for member in case.members if member.fault == n + 1]
    evidence = tuple(
        Evidence(
            anomaly_id=f"a-{n}-{k}",
            tracking_id=f"t-{n}-{k}",
            ts=one.ts(case.day),
            domain=case.domain,
            anomaly_type=one.type,
            host=one.sender,
            service="x",
            severity=Severity.HIGH,
            score=0.9,
            msg=one.raw,
        )
        for k, one in enumerate(shown)
    )
    first, last = evidence[0], evidence[-1]
    incident = Incident(
        tracking_id=first.tracking_id,
        ship_id="ship",
        ts=first.ts,
        id=f"i-{n}",
        title=case.id,
        severity=Severity.HIGH,
        domain=case.domain,
        root_cause=RootCause(device=case.faults[n].root[0]),
        evidence=evidence,
        first_seen=first.ts,
        last_seen=last.ts,
        created_at=last.ts,
        updated_at=last.ts,
    )
    line = ContextFact(id="line:around", kind="line", ts=last.ts, text="all other is quiet")
    return Question(incident=incident, context=(line,))


def answer(question: Question, cause: str, advice: Sequence[str] = ()) -> LlmInsights:
    own = question.incident.evidence[0].anomaly_id
    return LlmInsights(
        root_cause=cause,
        recommendations=tuple(advice),
        citations=(Citation(kind="evidence", id=own),),
        source="rules",
    )


def judged(one: PlayedCase, said: dict[str, LlmInsights], other: LlmInsights) -> ExplainedCase:
    """*said* by the id of the incident; *other* of all others."""
    explained = [Explained(q, said.get(q.incident.id, other), 1.0) for q in one.questions]
    return judge_case(one, explained)


def rightly(one: PlayedCase) -> ExplainedCase:
    said = {
        question.incident.id: answer(question, fault.right.root_cause, fault.right.recommendations)
        for fault, question in zip(one.case.faults, one.of_fault, strict=True)
    }
    first = one.questions[0]
    return judged(one, said, answer(first, first.incident.title, ["Look at it."]))


def assert_right(one: PlayedCase) -> None:
    found = rightly(one)
    assert [fault.cause for fault in found.faults] == [True] * len(found.faults)
    assert [fault.root for fault in found.faults] == [True] * len(found.faults)
    assert [fault.actions for fault in found.faults] == [f.wanted for f in found.faults]
    assert [*found.forbidden, *found.harmful] == []
    assert [fault.abstained for fault in found.faults] == [f.unknown for f in found.faults]


@pytest.mark.parametrize("id", WRITTEN)
def test_the_right_answer_is_judged_to_be_right(id):
    assert_right(unplayed(WRITTEN[id]))


@pytest.mark.slow
@pytest.mark.parametrize("id", WRITTEN)
def test_it_is_right_for_what_comes_of_the_lines_too(policies, id):
    assert_right(play(WRITTEN[id], policies))


@pytest.mark.parametrize("id", WRITTEN)
def test_a_wrong_answer_is_judged_to_be_wrong(id):
    cause, advice = WRONG[id]
    one = unplayed(WRITTEN[id])
    found = judged(one, {}, answer(one.questions[0], cause, [advice]))
    assert not any(fault.cause for fault in found.faults)
    assert found.forbidden
    assert found.harmful


def test_every_case_has_a_wrong_answer():
    assert set(WRONG) == set(WRITTEN)


def test_two_faults_are_two_incidents(played):
    first, second = played["two-at-once-raid-and-antenna"].of_fault
    assert first.incident.id != second.incident.id


def test_the_lines_around_are_context_and_own_lines_are_not(played):
    (question,) = played["idle-in-transaction"].of_fault
    texts = [fact.text for fact in question.context]
    assert any("Process holding the lock: 4402" in text for text in texts)
    assert not any("still waiting for ShareLock" in text for text in texts)
    assert any(fact.kind == "reading" and fact.fine for fact in question.context)
    assert any(f.kind == "maintenance" for f in played["l-band-allowance"].of_fault[0].context)


def test_who_gathers_facts_gets_the_lines_and_the_incident(policies):
    asked = []

    def gather(incident, lines):
        asked.append((incident.id, [line.msg for line in lines]))
        return ()

    one = play(WRITTEN["guest-pool-full"], policies, gather)
    assert [id for id, _ in asked] == [question.incident.id for question in one.questions]
    assert any("1000 of 1000 in use" in text for text in asked[0][1])
    assert {fact.kind for fact in one.questions[0].context} == {"maintenance"}


def test_a_fault_that_detection_overlooks_has_its_members_given(policies):
    case, usual = WRITTEN["silent-gateway"], "<30>Nov 14 05:14:30 ams-01 ams: 64 of 64 channels"
    said = tuple(member.model_copy(update={"raw": usual}) for member in case.members)
    one = play(case.model_copy(update={"members": said}), policies)
    assert one.overlooked == {0}
    assert {m.anomaly_type for m in one.of_fault[0].incident.evidence} == {"device_unreachable"}


def test_nothing_said_about_the_cause_is_an_abstention_and_honest_only_if_it_is_unknown():
    text = "The reason is not known."
    known, unknown = (unplayed(WRITTEN[id]) for id in ("rain-fade", "silent-gateway"))
    scores = total([judged(one, {}, answer(one.questions[0], text)) for one in (known, unknown)])
    assert (scores.abstained, scores.honest, scores.unknown) == (1, 1, 1)
    assert scores.cause == 0


def test_who_guesses_where_nothing_is_known_is_wrong():
    one = unplayed(WRITTEN["silent-gateway"])
    text = "The gateway eng-gw-01 is silent: its firmware hangs."
    (fault,) = judged(one, {}, answer(one.questions[0], text)).faults
    assert not fault.cause


def test_a_root_device_is_that_of_the_text_and_else_that_of_the_incident(played):
    one = played["controller-crash"]
    question = one.of_fault[0]

    def root(text: str) -> bool:
        return judged(one, {}, answer(question, text)).faults[0].root

    assert root("The controller wlc-01 restarted, and ap-d05-01 lost it.")
    assert not root("ap-d05-01 has a fault.")
    assert root("Something restarted.") is (question.incident.root_cause.device == "wlc-01")


def test_citations_must_name_what_the_incident_had():
    one = unplayed(WRITTEN["rain-fade"])
    right = answer(one.of_fault[0], "Rain.")
    context = Citation(kind="evidence", id=one.of_fault[0].context[0].id)
    made_up = Citation(kind="runbook", id="satellite-link#checks")
    half = right.but(citations=(*right.citations, made_up))
    whole = right.but(citations=(*right.citations, context))
    none = right.but(citations=())
    assert [judged(one, {}, said).cited for said in (half, whole, none)] == [[0.5], [1.0], [0.0]]


def test_the_command_prints_and_writes_the_scores_of_a_file(tmp_path):
    file = tmp_path / "one.yaml"
    text = cases.COMMITTED.read_text(encoding="utf-8")
    file.write_text(text[: text.index("  - id: funnel-blockage")], encoding="utf-8")
    numbers = tmp_path / "numbers.json"
    arguments = ["insight", str(file), "--policies", str(POLICIES), "--json", str(numbers)]
    result = CliRunner().invoke(app, [*arguments, "--details"])
    assert result.exit_code == 0, result.output
    assert "recall@5" in result.output
    assert '"cases": 1' in numbers.read_text(encoding="utf-8")


def test_a_file_of_cases_that_is_not_there_is_named(tmp_path):
    result = CliRunner().invoke(app, ["insight", str(tmp_path / "no.yaml")])
    assert result.exit_code != 0
    assert "no.yaml" in str(result.exception)
