"""What must hold of the pure correlator whatever happens."""

from collections import Counter
from copy import deepcopy
from datetime import timedelta
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.models import BY_SUBJECT, AnomalyCleared, Incident
from correlation_service.correlator import Correlator
from correlation_service.grouping import AlertChange, Placement
from incident_api.folding import evolve
from tests.conftest import NOON
from tests.correlation_cases import (
    POLICY,
    SHIP,
    UPSTREAM,
    Book,
    Merging,
    anomaly,
    cleared,
    joined,
    lived,
    snapshot,
    told,
)

KINDS = ("service_error", "link_down", "disk_full", "credential_attack", "log_error", "made_up")
PARTS = ("", "interface Gi1/0/1", "interface Gi1/0/2")
DEVICES = sorted(UPSTREAM)
LATE = POLICY.lateness.total_seconds()


def events(kinds=KINDS, seconds=1800, most=40):
    at = st.integers(0, seconds)
    event = st.tuples(at, st.sampled_from(DEVICES), st.sampled_from(kinds))
    return st.lists(event, max_size=most).map(
        lambda found: [
            anomaly(n, device, kind, at=at, component=PARTS[n % len(PARTS)])
            for n, (at, device, kind) in enumerate(found)
        ]
    )


@st.composite
def histories(draw, most=40):
    """Anomalies and recoveries in any order."""
    happened = draw(events(most=most))
    end = st.tuples(st.integers(0, 1800), st.sampled_from(DEVICES), st.sampled_from(PARTS))
    ends = {(at, device): part for at, device, part in draw(st.lists(end, max_size=8))}
    happened += [
        cleared(at, device, *KINDS[:3], component=part) for (at, device), part in ends.items()
    ]
    return draw(st.permutations(happened))


def singles():
    """Mostly single errors in the order of their time, of which enough come in the end."""
    found = events(("log_error", "unusual_mix", "service_error"), seconds=240, most=60)
    return found.map(lambda history: sorted(history, key=lambda a: (a.ts, a.tracking_id)))


@st.composite
def merged(draw):
    """A history in which operators merge incidents."""
    places = st.tuples(st.integers(0, 9), st.integers(0, 9))
    orders = [Merging(*pair) for pair in draw(st.lists(places, max_size=5))]
    return draw(st.permutations([*draw(histories()), *orders]))


def ends(correlator):
    over = correlator.expire(NOON + timedelta(days=1))
    return sorted(over, key=lambda end: end.incident_id)


def assert_only_states_are_open(correlator, book):
    """Time has ended everything else."""
    still = correlator.state.open.incidents
    assert book.open == set(still) and all(incident.lasts for incident in still.values())


def shown(facts):
    """What the API shows of every incident, but for when what was written of it."""
    stored = {}
    for fact in facts:
        if not isinstance(fact, AnomalyCleared):
            name = fact.id if isinstance(fact, Incident) else fact.incident_id
            stored[name] = evolve(stored.get(name), fact)
    written = {"timeline", "updated_at"}
    return {name: one.incident.model_dump(exclude=written) for name, one in stored.items()}


@st.composite
def shuffled(draw):
    """A history in order of time, and the same as it arrives: each at most the watermark late."""
    known = tuple(kind for kind in KINDS if kind != "log_error")  # one that may be doubted
    history = sorted(draw(events(known)), key=lambda a: (a.ts, a.tracking_id))
    delays = [draw(st.floats(0, LATE)) for _ in history]
    arrived = sorted(
        zip(history, delays, strict=True), key=lambda pair: pair[0].ts + timedelta(seconds=pair[1])
    )
    return history, [a for a, _ in arrived]


@settings(max_examples=150)
@given(histories())
def test_every_anomaly_is_told_once_and_is_in_one_place(history):
    book = told(history)
    anomalies = [m.anomaly_id for m in history if hasattr(m, "anomaly_id")]
    assert book.told == Counter(anomalies)
    assert set(book.place) == set(anomalies)


@settings(max_examples=150)
@given(shuffled())
def test_the_order_of_arrival_within_the_watermark_changes_nothing(pair):
    """Of two that come back at once the first to arrive decides whether an incident of before is
    opened again (decision 31); what came together is the same."""
    in_order, arrived = pair
    assert told(arrived).occurrences == told(in_order).occurrences


@settings(max_examples=150)
@given(singles() | histories())
def test_whom_a_change_does_not_concern_would_choose_as_before(history):
    quick, extend = told(history), Placement._extend

    def concerns_all(*arguments):
        return AlertChange.OTHER if extend(*arguments) else None

    with patch.object(Placement, "_extend", concerns_all):
        assert told(history).groups == quick.groups


@settings(max_examples=80)
@given(histories())
def test_groups_fit_their_windows(history):
    book = told(history)
    longest = max(POLICY.window, *POLICY.windows.values())
    for group in book.groups:
        times = sorted(book.ts[id_] for id_ in group)
        assert all(b - a <= longest for a, b in pairwise(times))
        assert times[-1] - times[0] <= POLICY.max_length


@settings(max_examples=80)
@given(shuffled())
def test_an_incident_counts_what_is_in_it_however_it_came_there(pair):
    correlator = Correlator(POLICY)
    told(pair[1], correlator)
    for incident in correlator.state.open.incidents.values():
        assert incident.count == sum(a.count for a in incident.alerts.values()) > 0


@settings(max_examples=80)
@given(histories(), st.data())
def test_a_replay_changes_nothing(history, data):
    correlator = Correlator(POLICY)
    told(history, correlator)
    anomalies = [m for m in history if hasattr(m, "anomaly_id")]
    again = data.draw(st.lists(st.sampled_from(anomalies), max_size=10)) if anomalies else []
    assert told(again, correlator).facts == []


@settings(max_examples=150)
@given(histories(), st.integers(0, 40))
def test_after_a_kill_at_any_moment_the_same_facts_follow(history, at):
    undisturbed = Correlator(POLICY)
    book = told(history[:at], undisturbed)
    reborn = Correlator(POLICY)
    recoveries = [m for m in history[:at] if not hasattr(m, "anomaly_id")]
    for fact in (*recoveries, *book.facts):
        reborn.evolve(fact)
    again = deepcopy(book)
    assert told(history[at:], reborn, again).facts == told(history[at:], undisturbed, book).facts


@settings(max_examples=150)
@given(merged(), st.integers(0, 45), st.sampled_from((1, 3, 200)), st.integers(1, 40))
def test_after_a_kill_merges_by_operators_and_joined_facts_make_no_difference(
    history, at, members_kept, size
):
    policy = POLICY.model_copy(update={"members_kept": members_kept})
    undisturbed, reborn = Correlator(policy), Correlator(policy)
    for fact in joined(lived(history[:at], undisturbed), size):
        reborn.evolve(BY_SUBJECT[fact.subject].model_validate_json(fact.model_dump_json()))
    assert lived(history[at:], reborn) == lived(history[at:], undisturbed)
    assert ends(reborn) == ends(undisturbed)


@settings(max_examples=150)
@given(merged(), st.integers(1, 40))
def test_the_state_is_that_of_the_joined_facts_whole(history, size):
    undisturbed, reborn = Correlator(POLICY), Correlator(POLICY)
    for fact in joined(lived(history, undisturbed), size):
        reborn.evolve(fact.stamped("correlate", NOON + timedelta(days=2)))
    state, again = snapshot(undisturbed.state), snapshot(reborn.state)
    for one in (*state["alerts"].values(), *again["alerts"].values()):
        del one["members"], one["head"], one["shown"]  # they carry the stamp
    assert again == state


@pytest.mark.parametrize("size", [1, 2, 4])
def test_after_a_kill_a_recovery_is_told_of_its_incidents_in_the_same_order(size):
    """Joined facts file the alerts of srv-1 in the other order."""
    faults = [("core-1", "link_down", 1000), ("core-1", "link_down", 1001)]
    faults += [("srv-1", "service_error", 0), ("srv-1", "service_error", 1002)]
    history = [anomaly(n, device, kind, at=at) for n, (device, kind, at) in enumerate(faults)]
    undisturbed, reborn = Correlator(POLICY), Correlator(POLICY)
    for fact in joined(lived(history, undisturbed), size):
        reborn.evolve(fact)
    told_of = undisturbed.handle(cleared(1010, "srv-1"))
    assert len({fact.incident_id for fact in told_of}) == 2
    assert reborn.handle(cleared(1010, "srv-1")) == told_of


def _in_any_order(table, chance):
    entries = chance.sample(list(table.items()), len(table))
    table.clear()
    table.update(entries)


@st.composite
def crowded(draw):
    """Few types of trouble, close together, that come and go, and are merged by operators."""
    begun = [*draw(events(("service_error", "link_down"), seconds=900, most=30))]
    times = draw(st.lists(st.integers(0, 1200), max_size=12, unique=True))
    over = [cleared(at, draw(st.sampled_from(DEVICES)), *KINDS[:2]) for at in times]
    orders = [Merging(n, draw(st.integers(0, 9))) for n in range(draw(st.integers(0, 4)))]
    return draw(st.permutations([*begun, *over, *orders]))


@settings(max_examples=150)
@given(crowded(), st.randoms(use_true_random=False))
def test_the_order_of_a_table_in_memory_makes_no_difference(history, chance):
    """It is another one after a kill; the facts are not."""
    undisturbed, shuffled = Correlator(POLICY), Correlator(POLICY)
    for event in history:
        tables = [incident.alerts for incident in shuffled.state.open.incidents.values()]
        for table in (*tables, shuffled.state.open.incidents, shuffled.state.emptied):
            _in_any_order(table, chance)
        assert lived([event], shuffled) == lived([event], undisturbed)
    later = NOON + timedelta(days=1)
    assert list(shuffled.expire(later)) == list(undisturbed.expire(later))


@settings(max_examples=150)
@given(merged())
def test_deciding_changes_nothing(history):
    correlator = Correlator(POLICY)
    for event in history:
        for cause in event.among(correlator) if isinstance(event, Merging) else [event]:
            before = snapshot(correlator.state)
            facts = correlator.decide(cause)
            assert snapshot(correlator.state) == before
            assert correlator.decide(cause) == facts
            correlator.handle(cause)


@settings(max_examples=150)
@given(merged())
def test_what_was_decided_is_what_evolves(history):
    """The severity that a decision published is that of the incident in the state afterwards."""
    correlator = Correlator(POLICY)
    for event in history:
        for cause in event.among(correlator) if isinstance(event, Merging) else [event]:
            for fact in correlator.handle(cause):
                name = getattr(fact, "incident_id", None) or getattr(fact, "id", None)
                incident = correlator.state.open.incidents.get(name)
                if incident and getattr(fact, "severity", None):
                    assert fact.severity == incident.worst(POLICY.escalate_devices)
                    assert fact.revision <= incident.revision
                    assert fact.corr_keys == incident.keys


@settings(max_examples=300)
@given(histories(), st.integers(0, 120))
def test_a_kill_between_the_facts_of_one_anomaly_leaves_each_in_one_place(history, left):
    """Facts are published in their order, so a kill cuts their sequence anywhere."""
    undisturbed, reborn, stream = Correlator(POLICY), Correlator(POLICY), []
    rest = list(history)
    while rest and len(stream) <= left:
        known = [] if hasattr(rest[0], "anomaly_id") else [rest[0]]
        stream += [*known, *undisturbed.handle(rest.pop(0))]
    published = stream[:left]
    for fact in published:
        reborn.evolve(fact)
    book = Book().read(fact for fact in published if not isinstance(fact, AnomalyCleared))
    told(
        history, reborn, book
    )  # what was not acknowledged comes again, and the rest; the book checks
    book.read(reborn.expire(NOON + timedelta(days=1)))
    assert set(book.place) == {m.anomaly_id for m in history if hasattr(m, "anomaly_id")}
    assert set(book.told.values()) <= {1}
    assert_only_states_are_open(reborn, book)


@settings(max_examples=150)
@given(merged(), st.integers(2, 40))
def test_joined_facts_fold_to_the_incidents_of_single_ones(history, size):
    facts = lived(history, Correlator(POLICY))
    assert shown(joined(facts, size)) == shown(facts)


def test_after_a_kill_a_repetition_repeats_the_same_member():
    """Of two members of one kind that parted from their incident together, each came first
    somewhere."""
    happened = ((61, "service_error"), (1, "log_error"), (0, "log_error"))
    parting = [anomaly(n, "dir-1", kind, at=at) for n, (at, kind) in enumerate(happened)]
    repeated = anomaly(9, "dir-1", "log_error", at=0)
    undisturbed, reborn = Correlator(POLICY), Correlator(POLICY)
    for fact in told(parting, undisturbed).facts:
        reborn.evolve(fact)
    assert undisturbed.handle(repeated) == reborn.handle(repeated) != []


@settings(max_examples=80)
@given(histories(), st.integers(0, 40), st.integers(0, 3600))
def test_what_is_closed_never_absorbs_again(history, at, seconds):
    correlator = Correlator(POLICY)
    book = told(history[:at], correlator)
    book.read(correlator.expire(NOON + timedelta(seconds=seconds)))
    told(history[at:], correlator, book)  # the book refuses what joins a closed incident
    book.read(correlator.expire(NOON + timedelta(days=1)))
    assert_only_states_are_open(correlator, book)


@settings(max_examples=60)
@given(shuffled())
def test_with_an_inventory_too_the_order_of_arrival_changes_nothing(pair):
    books = []
    for history in pair:
        correlator = Correlator(POLICY)
        correlator.use(SHIP)
        books.append(told(history, correlator))
    assert books[0].occurrences == books[1].occurrences
