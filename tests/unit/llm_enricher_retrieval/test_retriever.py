"""Question -> documents: whom they are for, in what order, and what happens without vectors."""

from __future__ import annotations

import asyncio
import time

import pytest

from llm_enricher.question import MemberKind
from llm_enricher.retrieval.corpus import Corpus
from llm_enricher.retrieval.passage import Passage, Scope
from llm_enricher.retrieval.resolved import Ended, passage_of, words_of
from llm_enricher.retrieval.retriever import EMBEDDED_MOST, WAITING_MOST, Retriever
from tests.model_cases import PRIVACY
from tests.retrieval_cases import NOON, POLICY, InlineVectors, asking, resolved, runbook
from tests.unit.llm_enricher.test_llm_enricher import evidence


class Near:
    """Says what is near, after *delay* seconds."""

    def __init__(self, delay: float = 0.0, **hits) -> None:
        self.delay, self.hits, self.asked = delay, hits, []

    async def ask(self, do, **request):
        self.asked.append(request)
        await asyncio.sleep(self.delay)
        return {"hits": self.hits, "embed_seconds": 0.001}


PASSAGES = [
    runbook("dhcp#symptoms", "guests get no address", title="DHCP"),
    runbook("dhcp#fix", "widen the address pool", title="DHCP"),
    runbook("vsat#checks", "the antenna searches", title="Satellite", domain=("comms",)),
    resolved("i1", "core switch power supply", "replaced the power supply"),
    resolved("i2", "core switch power supply", "", ship=("s2",)),
]


def retriever(vectors=None, passages=PASSAGES, redact=str, **policy) -> Retriever:
    corpus = Corpus(100)
    corpus.put(passages)
    limits = POLICY.model_copy(update=policy)
    return Retriever(corpus, vectors or InlineVectors(None), limits, redact)


async def test_a_passage_that_is_near_is_shown_with_its_cosine_and_one_by_words_is_marked():
    near = Near(runbook=[("dhcp#fix", 0.81)], incident=[])
    found = await retriever(near).find(asking("core switch power supply, address pool"))
    assert [(one.id, one.lexical) for one in found.documents] == [
        ("dhcp#fix", False),
        ("i1", True),
    ]
    assert found.documents[0].score == 0.81
    assert not found.lexical


async def test_a_runbook_is_told_once_by_its_best_passage():
    near = Near(runbook=[("dhcp#fix", 0.9), ("dhcp#symptoms", 0.8)], incident=[])
    found = await retriever(near).search("guests without address", ("runbook",))
    assert [one.source for one in map(Passage.model_validate, map(dict, found.documents))] == [
        "dhcp"
    ]


async def test_what_a_runbook_says_not_to_do_is_told_with_whatever_part_is_found():
    warns = [
        runbook("dhcp#do-not", "- Do not restart it", title="DHCP — Do not"),
        runbook("raid#do-not", "- Do not pull a drive", title="RAID — Do not"),
    ]
    found = await retriever(None, [*PASSAGES, *warns]).find(asking("guests get no address"))
    assert [(one.id, one.score > 0) for one in found.documents] == [
        ("dhcp#symptoms", True),
        ("dhcp#do-not", False),
    ]


async def test_documents_are_for_this_ship_and_domain_and_similar_incidents_have_their_end():
    found = await retriever().find(asking("core switch power supply; the antenna searches"))
    assert [one.id for one in found.documents] == ["i1"]
    [similar] = found.similar
    assert (similar.id, similar.resolution) == ("i1", "replaced the power supply")
    comms = await retriever().find(asking("the antenna searches", domain="comms"))
    assert [one.id for one in comms.documents] == ["vsat#checks"]


async def test_vectors_are_asked_for_the_same_ship_and_domain():
    near = Near(runbook=[], incident=[])
    await retriever(near).find(asking("anything"))
    kinds = near.asked[0]["kinds"]
    assert kinds["runbook"]["wanted"] == {"ship": "s1", "domain": "net"}
    assert kinds["incident"]["wanted"] == {"ship": "s1"}
    assert kinds["incident"]["similarity"] == POLICY.incidents.similarity


async def test_the_incident_itself_is_no_similar_one():
    near = Near(runbook=[], incident=[("i1", 0.99)])
    assert not (await retriever(near).find(asking("core switch power supply", id="i1"))).similar


async def test_what_vectors_know_and_memory_does_not_is_left_out():
    near = Near(runbook=[("gone#fix", 0.9)], incident=[("gone", 0.9)])
    assert not (await retriever(near).find(asking("zzz"))).documents


async def test_vectors_that_are_late_are_not_waited_for():
    started = time.perf_counter()
    found = await retriever(Near(delay=5), budget_ms=50).find(asking("guests get no address"))
    assert time.perf_counter() - started < 2
    assert found.lexical
    assert [one.id for one in found.documents] == ["dhcp#symptoms"]


async def test_who_has_more_time_waits_longer_for_vectors():
    near = Near(delay=0.2, runbook=[], incident=[])
    asked = retriever(near, budget_ms=20)
    assert (await asked.find(asking("guests get no address"))).lexical
    assert not (await asked.find(asking("guests get no address"), within=5.0)).lexical


async def test_in_a_storm_only_some_questions_wait_for_vectors():
    near = Near(delay=0.2, runbook=[], incident=[])
    asked = retriever(near)
    found = await asyncio.gather(*(asked.find(asking("guests")) for _ in range(40)))
    assert sum(one.lexical for one in found) == 40 - WAITING_MOST
    assert len(near.asked) == WAITING_MOST
    assert not (await asked.find(asking("guests"))).lexical


async def test_nothing_is_embedded_before_it_is_redacted():
    near = Near(runbook=[], incident=[])
    asked = retriever(near, redact=lambda text: text.replace("jane@ship", "[mail]"))
    await asked.find(asking("mailbox of jane@ship is full"))
    await asked.search("mailbox of jane@ship")
    assert all("jane" not in request["text"] for request in near.asked)
    assert all("[mail]" in request["text"] for request in near.asked)


async def test_the_beginning_of_a_question_is_embedded_and_all_of_it_is_asked_for_by_words():
    near = Near(runbook=[], incident=[])
    found = await retriever(near).search("zzz " * 100 + "guests get no address", ("runbook",))
    assert len(near.asked[0]["text"]) == EMBEDDED_MOST
    assert [one.id for one in found.documents] == ["dhcp#symptoms"]


async def test_no_more_documents_than_the_policy_says():
    many = [runbook(f"r{n}#x", f"disk number {n}") for n in range(20)]
    found = await retriever(passages=many).find(asking("disk", domain="system"))
    assert len(found.documents) == POLICY.documents


async def test_a_question_without_words_finds_nothing():
    assert (await retriever().search("   ")).documents == ()


def test_the_root_of_an_incident_is_asked_for_first():
    members = (
        evidence(1, "app", "service_error", "request timed out", severity="critical"),
        evidence(2, "net", "link_down", "Interface Gi1/0/1, changed state to down"),
    )
    root = {"device": "sw-1", "anomaly": members[1].anomaly_id}
    text = words_of(asking("Gi1/0/1 down", root_cause=root, evidence=members), str).splitlines()
    assert text[0] == "Gi1/0/1 down"
    assert text[1] == "link down, service error"
    assert "changed state to down" in text[2]


def test_kinds_of_members_come_before_the_evidence_that_the_incident_still_carries():
    kind = MemberKind(
        device="ups-1",
        service="snmp",
        anomaly_type="power_failure",
        domain="system",
        count=3,
        first=NOON,
        last=NOON,
        severity="high",
        newest=evidence(1, "system", "power_failure", "UPS on battery"),
    )
    question = asking("Power").but(kinds=(kind,))
    assert words_of(question, str) == "Power\npower failure\nUPS on battery"


@pytest.mark.parametrize(
    ("said", "resolution"),
    [
        (["expired"], ""),
        (["recovered: link is up again"], "recovered: link is up again"),
        (["see the port", "replaced the cable; reason hardware", "recovered"],
         "see the port; replaced the cable; reason hardware"),
        (["same", "same"], "same"),
    ],
)  # fmt: skip
def test_what_ended_an_incident_is_what_people_and_recoveries_said(said, resolution):
    ended = Ended("i", "s", "net", "network", "T", ["link_down"], ["down"], said, NOON)
    assert passage_of(ended, str).resolution == resolution


def test_all_of_a_resolved_incident_is_redacted():
    ended = Ended(
        "i", "s", "net", "c", "jane", ["auth_failure"], ["no login for jane"], ["asked jane"], NOON
    )
    passage = passage_of(ended, lambda text: text.replace("jane", "[user]"))
    assert "jane" not in passage.model_dump_json()
    assert passage.whole.count("[user]") == 3


SECRETS = [
    ("dial tcp amqp://shop:pa55@mq-1:5672: refused", "shop:pa55", "shop:pa55@mq-1:5672 refused"),
    ("pam: user=jdoe rhost=10.0.0.7", "jdoe", "user jdoe"),
    (
        "sudo: cadet : 3 incorrect password attempts ; TTY=pts/0",
        "cadet",
        "sudo: cadet: 3 incorrect",
    ),
    ("GET /x?api_key=ab12cd34&n=1 failed", "ab12cd34", "GET x ab12cd34"),
]


@pytest.mark.parametrize(("message", "secret", "title"), SECRETS)
def test_what_a_message_shows_to_be_personal_is_hidden_in_gist_and_title_too(
    message, secret, title
):
    said = [f"told {secret} to wait"]
    ended = Ended("i", "s", "app", "c", title, ["auth_failure"], [message], said, NOON)
    assert secret not in passage_of(ended, PRIVACY.redacted).model_dump_json()
    question = asking(title, evidence=(evidence(1, "app", "auth_failure", message),))
    assert secret not in words_of(question, PRIVACY.redacted)


def test_a_scope_restricts_only_by_what_is_known_and_asked_for():
    scope = Scope("s1", "", "network")
    assert scope.only(("ship", "domain")) == {"ship": "s1"}
    assert scope.only(()) == {}
