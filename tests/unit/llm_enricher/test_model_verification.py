"""What of an answer is believed: each sentence against the facts of its question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.models import Citation
from llm_enricher.model.answer import CAUSE, ModelAnswer, read_answer, schema
from llm_enricher.model.briefing import Briefing, brief
from llm_enricher.model.privacy import Redaction
from llm_enricher.model.server import ModelFailure
from llm_enricher.model.verification import Verification, verify
from tests.model_cases import FIRST, POLICY, PRIVACY, context, evidence, question, runbook

ASKED = question(
    evidence(1, "sw-1", "Interface Gi1/0/24 changed state to down, 12V rail at 10.6 V"),
    evidence(2, "ap-2", "AP ap-2 lost its controller", anomaly_type="device_unreachable"),
    context=(
        context(3, "probe: 0 % loss on the satellite link", device="sat-gw", fine=True),
        context(4, "configuration changed by console", device="sw-1", kind="change"),
    ),
    documents=(
        runbook("Port down: fix", "- Check cable and plug\n- Change the SFP"),
        runbook("Port down: what not to do", "- Restart the core switch"),
    ),
)
CAUSE_SAID = "Interface Gi1/0/24 of sw-1 went down."


def briefing() -> Briefing:
    return brief(ASKED, FIRST, Redaction(PRIVACY), POLICY.verification)


def found(**fields) -> Verification:
    base = {"citations": ("E1",), "root_cause": CAUSE_SAID, "confidence": "high"}
    answer = ModelAnswer.model_validate(base | fields)
    return verify(answer, briefing(), POLICY.verification, POLICY.confidence)


def test_what_facts_bear_out_stands_whole():
    it = found(
        impact="ap-2 is lost.",
        narrative="The 12V rail was at 10.6 V at 12:00:01, then Gi1/0/24 went down.",
        recommendations=("A1", "A3"),
        citations=("E1", "C2"),
    )
    assert it.dropped == () and it.left
    assert it.left.root_cause == CAUSE_SAID and it.left.impact == "ap-2 is lost."
    assert it.left.narrative.startswith("The 12V rail")
    assert it.left.recommendations == (
        "Check cable and plug at Gi1/0/24.",
        "Check cable and plug",
    )
    assert it.left.citations == (
        Citation(kind="evidence", id="a1"),
        Citation(kind="evidence", id="line:4"),
    )
    assert it.left.confidence == POLICY.confidence.complete


SENTENCES = [
    ("The 12V rail was at 9.1 V.", "number"),
    ("It began at 12:07.", "number"),
    ("Switch core-sw9 is the origin.", "name"),
    ("The Cisco firmware has a bug.", "name"),
    ("The VSAT modem lost power.", "name"),
    ("Peer 10.9.9.9 sends too much.", "number"),
    ("The link has a \u6545\u969c now.", "name"),
    ("All systems are operating normally.", "denial"),
    ("Everything is fine on sw-1.", "denial"),
    ("There is no real problem.", "denial"),
    ("This is a false alarm.", "denial"),
    ("It was fixed by a new cable.", "denial"),
    ("Restart sw-1.", "advice"),
    ("Switch to the other link.", "advice"),
    ("Check whether sw-1 has power.", "advice"),
    ("The crew should replace the cable.", "advice"),
    ("Disable the firewall on sw-1.", "forbidden"),
    ("A factory reset clears it.", "forbidden"),
    ("One can restart the core switch.", "harmful"),
    ("One may check cable and plug.", "advice"),
]


@pytest.mark.parametrize(("sentence", "reason"), SENTENCES)
def test_a_sentence_that_fails_is_dropped_and_the_others_stay(sentence, reason):
    it = found(narrative=f"First sw-1 went down. {sentence} Then ap-2 was lost.")
    assert it.dropped == (reason,) and it.left
    assert it.left.narrative == "First sw-1 went down. Then ap-2 was lost."
    assert it.left.confidence == POLICY.confidence.reduced


@pytest.mark.parametrize(("sentence", "reason"), SENTENCES)
def test_a_cause_that_fails_leaves_nothing(sentence, reason):
    it = found(root_cause=sentence)
    assert it.left is None and reason in it.dropped


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"citations": ("E9",)}, "citation"),
        ({"citations": ("a1",)}, "citation"),
        ({"citations": ("D1",)}, None),
        ({"citations": ("C1",)}, "ungrounded"),
        ({"root_cause": "unknown"}, "abstained"),
        ({"root_cause": " Unknown. "}, "abstained"),
        ({"root_cause": ""}, "abstained"),
        ({"root_cause": "The satellite link of sat-gw is interrupted."}, "ruled_out"),
        ({"root_cause": "Cable and plug of sw-1 failed to be checked."}, "ungrounded"),
        ({"root_cause": "Something went wrong somewhere."}, "ungrounded"),
    ],
)
def test_without_a_proven_cause_nothing_is_left(fields, reason):
    it = found(**fields)
    assert it.left is None
    assert reason is None or reason in it.dropped


def test_actions_that_nobody_offers_are_dropped():
    it = found(recommendations=("A1", "A77", "Restart everything"))
    assert it.dropped == ("action", "action") and it.left
    assert it.left.recommendations == ("Check cable and plug at Gi1/0/24.",)


def test_confidence_is_that_of_the_table_and_the_models_word_only_lowers_it():
    table = POLICY.confidence
    documented = found(citations=("E1", "D1"))
    assert documented.left and documented.left.confidence == table.documented
    assert found().left.confidence == table.complete
    assert found(confidence="low").left.confidence == table.unsure
    assert found(impact="At 99 V.").left.confidence == table.reduced
    assert found(impact="At 99 V.", confidence="low").left.confidence == table.unsure


def test_what_the_question_said_already_is_no_news_and_no_fault():
    it = found(impact="2 anomalies on 2 devices")
    assert it.dropped == ("repeated",) and it.left
    assert it.left.impact == "" and it.left.confidence == POLICY.confidence.complete


def test_a_sentence_that_repeats_the_cause_is_left_out():
    it = found(narrative=f"{CAUSE_SAID} Then ap-2 was lost.")
    assert it.dropped == ("repeated",) and it.left
    assert it.left.narrative == "Then ap-2 was lost."


def test_the_schema_knows_the_ids_of_its_question_and_no_severity():
    keys = schema(briefing())["properties"]
    assert keys["citations"]["items"]["enum"] == ["E1", "E2", "C1", "C2", "D1", "D2"]
    assert keys["recommendations"]["items"]["enum"] == ["A1", "A2", "A3", "A4"]
    assert list(keys) == [
        "citations", "root_cause", "recommendations", "impact", "narrative", "confidence",
    ]  # fmt: skip
    assert not {"severity", "status"} & set(ModelAnswer.model_fields)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"root_cause": 7}', '{"impact": "x"}'])
def test_what_is_not_by_the_schema_is_garbage(text):
    with pytest.raises(ModelFailure) as caught:
        read_answer(text)
    assert caught.value.kind == "garbage"


def test_of_an_answer_that_was_cut_off_the_whole_parts_stand():
    text = '{"citations": ["E1"], "root_cause": "sw-1 went down.", "impact": "ap-2 is'
    found = read_answer(text, cut=True)
    assert (found.root_cause, found.impact) == ("sw-1 went down.", "")
    assert found.confidence == "medium"
    for broken in (text[:30], "", "nonsense"):
        with pytest.raises(ModelFailure):
            read_answer(broken, cut=True)
    with pytest.raises(ModelFailure):
        read_answer(text)


def test_a_sentence_that_the_grammar_cut_off_is_left_out():
    long = "sw-1 went down. " + "x" * CAUSE
    assert read_answer(f'{{"root_cause": "{long}"}}').root_cause == "sw-1 went down."


@given(st.text(max_size=200), st.lists(st.text(max_size=5), max_size=5))
def test_whatever_is_said_what_is_left_cites_what_exists(text, ids):
    it = found(root_cause=text, narrative=text, citations=tuple(ids), recommendations=tuple(ids))
    known = briefing()
    if it.left:
        assert set(it.left.citations) <= {fact.citation for fact in known.facts}
        assert set(it.left.recommendations) <= set(known.offers.values())
