"""An operator merges incidents: what correlation tells, what the API shows, what a kill changes."""

from datetime import timedelta

import pytest

from aiops_core.models import Incident, IncidentCleared, IncidentUpdated
from aiops_lab.memory_bus import MemoryBus
from correlation_service.correlator import Correlator
from incident_api.folding import evolve
from tests.conftest import NOON
from tests.correlation_cases import cleared, order, reborn
from tests.unit.correlation_service.test_correlation import POLICY, anomaly, own, with_policy

DAY = timedelta(days=1)


def two(correlator):
    """Two incidents of two anomalies each, and their facts."""
    facts = [own(correlator, anomaly(n, f"srv-{n % 2}")) for n in range(4)]
    return facts[0].id, facts[1].id, facts


@pytest.fixture
def correlator():
    return Correlator(POLICY)


def test_the_members_move_and_the_other_goes_on(correlator):
    gone, home, _ = two(correlator)
    moved, cleared = correlator.handle(order(gone, home))
    assert isinstance(moved, IncidentUpdated) and moved.incident_id == home
    assert [member.tracking_id for member in moved.members] == ["t0", "t2"]
    assert moved.reason == f"mate merged incident {gone} into it"
    assert isinstance(cleared, IncidentCleared)
    assert (cleared.incident_id, cleared.merged_into) == (gone, home)
    later = own(correlator, anomaly(5, "srv-0"))
    assert later.incident_id == home and later.members[0].role == "duplicate"
    assert len(correlator.state.open.incidents) == 1


def test_the_api_shows_them_in_one_place(correlator):
    gone, home, facts = two(correlator)
    change = order(gone, home)
    shown = {}
    for fact in [*facts, change, *correlator.handle(change)]:
        name = fact.id if isinstance(fact, Incident) else fact.incident_id
        shown[name] = evolve(shown.get(name), fact)
    assert shown[gone].incident.resolve_reason == f"merged into {home}"
    assert (shown[gone].incident.anomaly_count, shown[home].incident.anomaly_count) == (0, 4)
    assert {e.tracking_id for e in shown[home].incident.evidence} == {"t0", "t1", "t2", "t3"}


def test_merged_into_one_that_is_not_open_it_only_ends(correlator):
    gone, _, _ = two(correlator)
    assert correlator.handle(order(gone, "long-over")) == []
    assert isinstance(own(correlator, anomaly(5, "srv-0")), Incident)


def test_one_that_is_not_open_changes_nothing(correlator):
    _, home, _ = two(correlator)
    assert correlator.handle(order("reported-by-hand", home)) == []
    assert len(correlator.state.open.incidents) == 2


def crowded():
    return with_policy(members_kept=1)


def test_of_too_many_members_only_what_comes_later_joins_the_other():
    correlator = crowded()
    gone, home, _ = two(correlator)
    [told] = correlator.handle(order(gone, home))
    assert (told.incident_id, told.members) == (home, ())
    assert own(correlator, anomaly(5, "srv-0")).incident_id == home


async def killed(policy, *facts):
    """A correlator that knows what was published before the kill."""
    bus = MemoryBus()
    for fact in facts:
        bus.put(fact.subject, fact.model_dump_json().encode())
    return await reborn(bus, policy)


@pytest.mark.parametrize("make", [lambda: Correlator(POLICY), crowded])
async def test_after_a_kill_the_other_still_goes_on(make):
    correlator = make()
    gone, home, facts = two(correlator)
    change = order(gone, home)
    told = correlator.handle(change)
    again = await killed(correlator.policy, *facts, change, *told)
    assert again.handle(change) == []  # delivered again
    for place in (correlator, again):
        assert own(place, anomaly(5, "srv-0")).incident_id == home
        assert [incident.id for incident in place.state.open.incidents.values()] == [home]


async def test_a_kill_before_it_was_told_tells_it_when_the_order_comes_again(correlator):
    gone, home, facts = two(correlator)
    change = order(gone, home)
    again = await killed(POLICY, *facts, change)
    assert again.handle(change) == correlator.handle(change)


async def test_after_a_kill_a_merge_knows_what_was_well_again_before_it_was_seen(correlator):
    recoveries = [cleared(10, f"srv-{n}") for n in range(2)]
    for recovery in recoveries:
        assert correlator.handle(recovery) == []
    gone, home, facts = two(correlator)
    change = order(gone, home)
    again = await killed(POLICY, *recoveries, *facts, change)
    assert again.handle(change) == correlator.handle(change) != []


def parting(correlator):
    """A problem that was over and came again, made one incident by an operator; the second has a
    cause."""
    first, over = (
        own(correlator, anomaly(0, "srv-1", "link_down", component="interface 1")),
        cleared(1, "srv-1", "link_down"),
    )
    facts = [first, over, *correlator.handle(over)]
    again = own(correlator, anomaly(1, "srv-1", "link_down", at=200))
    change = order(first.id, again.id)
    facts += [again, change, *correlator.handle(change)]
    return [*facts, *correlator.handle(anomaly(2, "sw-1", "link_down", at=201))]


async def test_after_a_kill_two_problems_that_a_merge_brought_together_are_still_two(correlator):
    facts = parting(correlator)
    again = await killed(POLICY, *facts)
    later = anomaly(3, "srv-1", "link_down", at=202)
    assert again.handle(later) == correlator.handle(later) != []
    ends = [
        sorted(c.expire(NOON + DAY), key=lambda end: end.incident_id) for c in (correlator, again)
    ]
    assert ends[0] == ends[1] and len(ends[0]) == 2


async def test_a_merge_into_an_incident_that_ended_before_it_was_handled_ends_the_other(correlator):
    gone, home, facts = two(correlator)
    change, end = (
        order(gone, home),
        IncidentCleared(
            tracking_id="e",
            ship_id="s1",
            ts=NOON,
            incident_id=home,
            revision=9,
            resolve_reason="expired",
        ),
    )
    correlator.evolve(end)
    assert correlator.handle(change) == []
    again = await killed(POLICY, *facts, change, end)  # the order was stored first
    for place in (correlator, again):
        assert len(place.state.open.incidents) == 0 and not place.state.merging
