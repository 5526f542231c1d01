"""Suggested edges: what speaks for them, their bounds, and the graph with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.inventory import suggestions
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import (
    EdgeFinding,
    EdgeKey,
    EvidenceKind,
    SuggestedEdge,
    Suggestion,
    Suggestions,
)
from aiops_core.models import Device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EDGE = EdgeKey("ap-7", "sw-2")


def finding(
    kind: EvidenceKind = "time", confidence: float = 0.8, *said: str, hours: int = 0
) -> EdgeFinding:
    at = NOON + timedelta(hours=hours)
    return EdgeFinding(kind=kind, confidence=confidence, evidence=said, first_seen=at, last_seen=at)


def suggestion(device: str = "ap-7", upstream: str = "sw-2", *found: EdgeFinding) -> Suggestion:
    return Suggestion(device=device, upstream=upstream, findings=found or (finding(),))


def test_independent_kinds_make_an_edge_more_certain_and_the_same_kind_does_not() -> None:
    first = Suggestions().found({EDGE: finding("lldp", 0.5, "sw-2 is its neighbour")})
    again = first.found({EDGE: finding("lldp", 0.5, "still", hours=1)})
    both = again.found({EDGE: finding("time", 0.8, "failed together", hours=2)})
    assert [one.confidence for many in (first, again, both) for one in many] == [0.5, 0.5, 0.9]
    [one] = both
    assert one.kinds == ("lldp", "time")
    assert one.evidence == ("failed together", "still", "sw-2 is its neighbour")
    assert one.last_seen - one.first_seen == timedelta(hours=2)


def claim(kind: EvidenceKind, *senders: str) -> EdgeFinding:
    return finding(kind, 0.6).but(senders=senders)


def test_what_one_sender_says_in_many_ways_never_makes_an_edge_certain() -> None:
    found = Suggestions()
    for kind in ("lldp", "cdp", "description", "ap_join"):
        for _ in range(3):
            found = found.found({EDGE: claim(kind, "10.0.0.1")})
    assert [one.confidence for one in found] == [suggestions.ONE_SENDER_MOST]
    assert suggestions.ONE_SENDER_MOST < 0.8
    [two] = found.found({EDGE: claim("lldp", "10.0.0.2")})
    assert 0.8 <= two.confidence <= suggestions.SENDERS_MOST
    [measured] = found.found({EDGE: finding("time", 0.7)})
    assert measured.confidence == 0.925


def test_two_senders_say_more_than_one_and_the_third_no_more() -> None:
    said = claim("lldp", "a").later(claim("lldp", "b"))
    assert (said.senders, round(said.confidence, 3)) == (("a", "b"), 0.84)
    assert said.later(claim("lldp", "c")) == said


def test_a_line_takes_nothing_from_what_a_person_brought() -> None:
    brought = finding("lldp", 0.9)
    assert brought.later(claim("lldp", "a")) == brought
    assert claim("lldp", "a").later(brought) == brought


def test_few_sentences_are_kept() -> None:
    found = Suggestions()
    for n in range(9):
        found = found.found({EDGE: finding("arp", 0.3, f"sentence {n}", hours=n)})
    [one] = found
    assert one.evidence == tuple(f"sentence {n}" for n in (8, 7, 6, 5, 4))


def test_what_is_learned_anew_replaces_what_was_learned_before() -> None:
    other = EdgeKey("ap-8", "sw-2")
    before = Suggestions().found({EDGE: finding("time", 0.9), other: finding("time", 0.9)})
    before = before.found({EDGE: finding("cdp", 0.6)})
    after = before.relearned("time", {})
    assert [(one.device, one.confidence) for one in after] == [("ap-7", 0.6)]


def test_a_decision_of_a_person_stays_whatever_is_learned() -> None:
    known = Suggestions([suggestion()]).decided("ap-7", "sw-2", "rejected")
    learned = known.relearned("time", {EDGE: finding("time", 0.99)})
    for one in (*known, *known.relearned("time", {}), *learned):
        assert one.status == "rejected"
    assert not learned.edges(0.0)
    with pytest.raises(LookupError, match="nothing suggests that ap-7 needs sw-3"):
        known.decided("ap-7", "sw-3", "accepted")


def test_only_open_edges_that_are_sure_enough_are_used() -> None:
    found = Suggestions(
        [suggestion("a", "x", finding("time", 0.49)), suggestion("b", "x", finding("time", 0.5))]
    )
    assert [edge.device for edge in found.edges(0.5)] == ["b"]


def test_they_come_back_as_they_were() -> None:
    known = Suggestions(
        [suggestion("b", "a", finding("time", 0.7, "together"), finding("lldp", 0.9)), suggestion()]
    )
    again = Suggestions.from_json(known.to_json())
    assert again == known
    assert again.to_json() == known.to_json()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        b"[7]",
        b'[{"device": "a"}]',
        b"[" * 100_000,
        b'"\xff"',
        Suggestions([suggestion()]).to_json()[:-5],
        Suggestions([suggestion()]).to_json().replace(b"ap-7", b"sw-2"),
        Suggestions([suggestion()]).to_json().replace(b'"time"', b'"guess"'),
        b" " * suggestions.BYTES_MOST + b"[]",
    ],
)
def test_what_is_damaged_is_a_value_error(damaged: bytes) -> None:
    with pytest.raises(ValueError):
        Suggestions.from_json(damaged)


def test_the_least_certain_go_when_there_are_too_many() -> None:
    many = [
        suggestion(f"d{n}", "sw", finding("time", n / (suggestions.MOST + 10)))
        for n in range(suggestions.MOST + 10)
    ]
    kept = Suggestions([*many, many[0].but(status="rejected")])
    assert len(kept) == suggestions.MOST
    assert kept.get("d0", "sw")
    assert not kept.get("d5", "sw")


def test_as_json_they_never_take_more_than_is_read_back() -> None:
    said = tuple(str(n) + "x" * 190 for n in range(5))
    long = [
        suggestion(f"{n:04d}" + "d" * 251, "u" * 255, finding("time", n / 5000, *said))
        for n in range(2000)
    ]
    kept = Suggestions.from_json(Suggestions(long).to_json())
    assert 1000 < len(kept) < 2000
    assert kept.get(long[-1].device, "u" * 255)


# -- the graph with them --------------------------------------------------------------------------


def edge(device: str, upstream: str, confidence: float = 0.8) -> SuggestedEdge:
    return SuggestedEdge(device, upstream, confidence)


def test_suggested_edges_connect_devices_and_names_that_no_device_has() -> None:
    ship = Inventory(
        [Device(id="sw-1"), Device(id="sw-2", upstream=("sw-1",))],
        [edge("ap-7", "SW-2", 0.8), edge("cam-1", "ap-7", 0.5)],
    )
    assert ship.above("cam-1") == {"ap-7": 1, "sw-2": 2, "sw-1": 3}
    assert ship.downstream_of("sw-1") == ("sw-2", "ap-7", "cam-1")
    assert ship.children_of("sw-2") == ("ap-7",)
    assert ship.probable("cam-1") == {"ap-7": 0.5, "sw-2": 0.4, "sw-1": 0.4}
    assert ship.probable("sw-2") == {}
    assert [device.id for device in ship.devices] == ["sw-1", "sw-2"]
    assert "ap-7" not in ship


def test_what_is_typed_is_sure_although_it_is_suggested_as_well() -> None:
    ship = Inventory(
        [Device(id="sw-1"), Device(id="ap-7", upstream=("sw-1",))], [edge("ap-7", "sw-1")]
    )
    assert ship.suggested == ()
    assert ship.probable("ap-7") == {}


def test_an_edge_that_would_make_a_circle_with_stronger_ones_is_left_out() -> None:
    edges = [edge("a", "c", 0.6), edge("b", "a", 0.9), edge("c", "b", 0.7), edge("a", "a", 1.0)]
    ship = Inventory([], edges)
    assert [(e.device, e.upstream) for e in ship.suggested] == [("b", "a"), ("c", "b")]
    typed = Inventory([Device(id="x"), Device(id="y", upstream=("x",))], [edge("x", "y", 1.0)])
    assert typed.suggested == ()


def test_the_surest_way_counts() -> None:
    ship = Inventory([], [edge("d", "b", 0.9), edge("b", "a", 0.9), edge("d", "a", 0.6)])
    assert ship.above("d") == {"b": 1, "a": 1}
    assert ship.probable("d") == {"b": 0.9, "a": 0.81}


def test_inventories_differ_by_their_suggested_edges() -> None:
    plain = Inventory([Device(id="sw-1")])
    learned = plain.with_suggested([edge("ap-7", "sw-1")])
    assert learned != plain
    assert learned == plain.with_suggested([edge("ap-7", "sw-1")])
    assert learned.to_json() == plain.to_json()
