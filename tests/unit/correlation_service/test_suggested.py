"""Correlation with edges that are only suggested, and with none at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.inventory import inventory, suggestions
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import EdgeFinding, Suggestion, Suggestions
from aiops_core.models import Device, EnrichedAnomaly, Evidence, Message
from aiops_lab.memory_bus import MemoryBus
from correlation_service.correlator import Correlator
from correlation_service.handler import Correlation
from correlation_service.policy import Propagation
from tests.correlation_cases import POLICY, anomaly

THEN = datetime(2026, 5, 1, tzinfo=UTC)
WHY = "they failed together 14 times of 15, within 20 s"


def suggested(*edges: tuple[str, str, float]) -> Suggestions:
    return Suggestions(
        Suggestion(
            device=device,
            upstream=upstream,
            findings=(
                EdgeFinding(
                    kind="time",
                    confidence=confidence,
                    evidence=(WHY,),
                    first_seen=THEN,
                    last_seen=THEN,
                ),
            ),
        )
        for device, upstream, confidence in edges
    )


def trouble(n: float, device: str, kind: str = "service_error") -> EnrichedAnomaly:
    found: EnrichedAnomaly = anomaly(n, device, kind, upstream=())
    return found


def after(*anomalies: EnrichedAnomaly, ship: Inventory, edges: Suggestions) -> list[Message]:
    correlator = Correlator(POLICY)
    correlator.use(ship, edges)
    return [fact for one in anomalies for fact in correlator.handle(one)]


def members(facts: list[Message]) -> dict[str, tuple[str, Evidence]]:
    """Device -> its incident and its first anomaly there."""
    found: dict[str, tuple[str, Evidence]] = {}
    for fact in facts:
        told = getattr(fact, "evidence", None) or getattr(fact, "members", ())
        for member in told:
            found[member.device] = getattr(fact, "id", None) or fact.incident_id, member  # type: ignore[attr-defined]
    return found


def test_a_suggested_edge_groups_and_says_so() -> None:
    facts = after(
        trouble(1, "sw-2", "hardware_failure"),
        trouble(9, "ap-7"),
        ship=Inventory(),
        edges=suggested(("ap-7", "sw-2", 0.9)),
    )
    (home, _), (where, symptom) = (members(facts)[name] for name in ("sw-2", "ap-7"))
    assert where == home
    assert symptom.reason == f"ap-7 probably depends on sw-2: {WHY}"
    assert symptom.probable == {"sw-2": 0.9}
    cause = facts[-1].root_cause  # type: ignore[attr-defined]
    assert cause.device == "sw-2"
    assert cause.confidence == round(0.95 * 0.9, 2)
    assert "probably depends on sw-2" in cause.reason


@pytest.mark.parametrize("edges", [Suggestions(), suggested(("ap-7", "sw-2", 0.49))])
def test_without_it_or_with_little_confidence_they_stay_apart(edges: Suggestions) -> None:
    found = members(
        after(
            trouble(1, "sw-2", "hardware_failure"),
            trouble(9, "ap-7"),
            ship=Inventory(),
            edges=edges,
        )
    )
    assert found["sw-2"][0] != found["ap-7"][0]


def test_what_is_typed_wins_over_what_is_suggested() -> None:
    ship = Inventory([Device(id="sw-1"), Device(id="sw-2"), Device(id="ap-7", upstream=("sw-1",))])
    found = members(
        after(
            trouble(1, "sw-1", "hardware_failure"),
            trouble(3, "sw-2", "hardware_failure"),
            trouble(5, "ap-7"),
            ship=ship,
            edges=suggested(("ap-7", "sw-2", 0.9)),
        )
    )
    assert found["ap-7"][0] == found["sw-1"][0] != found["sw-2"][0]
    assert found["ap-7"][1].reason == "ap-7 depends on sw-1"


def test_what_hides_anomalies_must_have_been_typed() -> None:
    correlator = Correlator(POLICY)
    correlator.use(Inventory([Device(id="sat-1")]), suggested(("fw-1", "sat-1", 0.99)))
    assert correlator.suppression.outages.upstream_of("fw-1") == ()
    assert correlator.state.inventory.upstream_of("fw-1") == ("sat-1",)


async def test_the_service_uses_what_is_published_and_again_after_a_kill() -> None:
    bus = MemoryBus()
    bucket = bus.bucket(inventory.BUCKET)
    await bucket.put(suggestions.KEY, suggested(("ap-7", "sw-2", 0.9)).to_json())
    for _ in range(2):  # a process that was killed leaves nothing behind
        service = Correlation(POLICY, bus)
        await service.recover(bus)
        assert service.correlator.state.inventory.upstream_of("ap-7") == ("sw-2",)


# -- nothing is known at all ----------------------------------------------------------------------


def together(*anomalies: EnrichedAnomaly, ship: Inventory | None = None) -> set[str]:
    facts = after(*anomalies, ship=ship or Inventory(), edges=Suggestions())
    return {incident for incident, _ in members(facts).values()}


def test_devices_of_which_nothing_is_known_and_that_lose_something_together_are_one() -> None:
    facts = after(
        trouble(1, "sw-2", "link_down"),
        trouble(1.8, "ap-7", "device_unreachable"),
        ship=Inventory(),
        edges=Suggestions(),
    )
    (home, _), (where, second) = (members(facts)[name] for name in ("sw-2", "ap-7"))
    assert where == home
    assert second.reason == "ap-7 began 0.8 s after sw-2; what they need is not known"


@pytest.mark.parametrize(
    ("first", "second", "later"),
    [
        ("link_down", "device_unreachable", 9),  # too late
        ("service_error", "service_error", 0.5),  # every program has errors
        ("database_overload", "link_down", 0.5),  # of another kind
        ("credential_attack", "credential_attack", 0.5),  # attackers are known by their addresses
    ],
)
def test_nothing_else_is_one_for_being_at_the_same_time(
    first: str, second: str, later: float
) -> None:
    assert len(together(trouble(1, "a", first), trouble(1 + later, "b", second))) == 2


@pytest.mark.parametrize(
    ("first", "second", "later", "incidents"),
    [
        ("link_down", "device_unreachable", 2.5, 1),  # noticed at the next attempt
        ("signal_loss", "signal_loss", 2.5, 1),
        ("database_overload", "database_overload", 2.5, 1),
        ("link_down", "link_down", 0.5, 1),  # one cable, or one dead switch
        ("link_down", "link_down", 1, 2),  # cables of their own
        ("uplink_down", "link_down", 1, 2),
    ],
)
def test_what_is_noticed_the_moment_it_happens_must_begin_at_once(
    first: str, second: str, later: float, incidents: int
) -> None:
    found = together(trouble(1, "a", first), trouble(1 + later, "b", second))
    assert len(found) == incidents


def stated(**changed: str) -> Propagation:
    keys = POLICY.propagation.model_dump(mode="json", exclude={"at_once"}) | changed
    return Propagation.model_validate(keys)


def test_a_former_policy_without_at_once_has_it() -> None:
    assert stated().at_once == POLICY.propagation.at_once
    assert stated(together="PT0.5S").together < stated().at_once


def test_at_once_is_nearer_than_together() -> None:
    with pytest.raises(ValueError, match="at_once is longer than together"):
        stated(together="PT3S", at_once="PT4S")
    assert stated(together="PT0S", at_once="PT0.9S").together == timedelta(0)  # never


def test_what_has_lasted_takes_in_nothing_new() -> None:
    found = together(
        trouble(1, "a", "signal_loss"),
        trouble(20, "a", "link_down"),
        trouble(20.5, "b", "link_down"),
    )
    assert len(found) == 2


def test_devices_of_the_inventory_are_not_one_for_being_at_the_same_time() -> None:
    ship = Inventory([Device(id="a"), Device(id="b")])
    assert (
        len(together(trouble(1, "a", "link_down"), trouble(1.5, "b", "link_down"), ship=ship)) == 2
    )
