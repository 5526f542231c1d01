"""Words, their rank, and two rankings as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_enricher.retrieval.fusion import fused
from llm_enricher.retrieval.lexical import ASKED_MOST, LexicalIndex
from llm_enricher.retrieval.terms import terms
from tests.retrieval_cases import runbook

DOCUMENTS = [
    runbook("dhcp", "The pool has no free leases; guests get no address."),
    runbook("disk", "The volume is full and the database stops writing to the disk."),
    runbook("raid", "A disk has left the array; the disk must be replaced before another disk."),
    runbook("ntp", "The clock drifts as the time server has lost its GPS."),
]


def index_of(*passages) -> LexicalIndex:
    index = LexicalIndex()
    for one in passages:
        index.put(one)
    return index


def found(index: LexicalIndex, text: str, limit: int = 10) -> list[str]:
    return [hit.passage.id for hit in index.search(text, limit, lambda _: True)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The disk fails", "failing disks"),
        ("dropped packets", "packet drop"),
        ("authentication failures", "authenticates failure"),
        ("batteries", "battery"),
        ("WiFi", "Wi-Fi"),
        ("SocketTimeout", "socket timeout"),
        ("process 4711 at 12:01", "process"),
    ],
)
def test_spellings_and_endings_make_no_difference(one, other):
    assert sorted(terms(one)) == sorted(terms(other))


def test_words_that_look_alike_stay_apart():
    assert len({*terms("access process address lease less class")}) == 6


def test_the_passage_with_the_rarer_words_is_first():
    index = index_of(*DOCUMENTS)
    assert found(index, "replace the disk of the array") == ["raid", "disk"]
    assert found(index, "guest without an address") == ["dhcp"]
    assert len(found(index, "disk", limit=1)) == 1


def test_what_shares_no_word_or_is_not_accepted_is_not_found():
    index = index_of(*DOCUMENTS)
    assert found(index, "satellite") == []
    assert index.search("disk", 10, lambda one: one.id == "ntp") == []
    assert found(LexicalIndex(), "disk") == []
    assert found(index, "of the and 4711") == []


def test_the_part_of_the_question_that_is_covered_is_told():
    index = index_of(*DOCUMENTS)
    [whole] = index.search("free leases", 10, lambda _: True)
    [half] = index.search("free satellite", 10, lambda _: True)
    assert whole.covered == pytest.approx(1.0)
    assert 0 < half.covered < 0.6


def test_a_replaced_or_dropped_passage_is_as_if_it_had_never_been():
    index = index_of(*DOCUMENTS)
    index.put(runbook("dhcp", "The antenna searches."))
    assert found(index, "leases") == []
    assert found(index, "antenna") == ["dhcp"]
    for one in DOCUMENTS:
        index.drop(one.id)
    index.drop("never")
    assert not index.passages
    assert found(index, "antenna disk") == []
    for one in DOCUMENTS:
        index.put(one)
    fresh = index_of(*DOCUMENTS)
    assert [*index.search("disk array", 9, lambda _: True)] == [
        *fresh.search("disk array", 9, lambda _: True)
    ]


def test_a_long_question_is_asked_by_its_rarest_words():
    common = " ".join(f"{chr(97 + n)}oft{chr(97 + n)}" for n in range(ASKED_MOST))
    index = index_of(*(runbook(f"r{n}", common) for n in range(9)), runbook("rare", "quorum"))
    hits = index.search(f"{common} quorum", 20, lambda _: True)
    assert {hit.passage.id for hit in hits} >= {"rare"}
    [rare] = [hit for hit in hits if hit.passage.id == "rare"]
    assert rare.covered > max(hit.covered for hit in hits if hit is not rare) / ASKED_MOST


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=3))
def test_a_fusion_keeps_every_id_once_and_the_order_of_a_single_ranking(rankings):
    result = list(fused(rankings, 60))
    assert sorted(result) == sorted({id for ranking in rankings for id in ranking})
    if len(rankings) == 1:
        assert result == rankings[0]


def test_what_two_rankings_have_comes_before_what_one_has():
    assert next(iter(fused([["a", "both", "c"], ["d", "both"]], 60))) == "both"
