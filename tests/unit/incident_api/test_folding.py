"""Facts about an incident -> the incident that the API shows."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core import standing
from aiops_core.errors import Premature
from aiops_core.membership import AFFECTED_KEPT
from aiops_core.models import Message, Recurrence, Role, Severity, Status
from incident_api.folding import (
    MISSING_KEPT,
    StoredIncident,
    evolve,
    occurrences_of,
)
from incident_api.occurrences import KEPT
from incident_api.rows import incident_row, stored_incident
from incident_api.timeline import TIMELINE_KEPT
from tests.incident_cases import (
    at,
    cleared,
    created,
    evidence,
    explained,
    transitioned,
    updated,
)


def occurrence(number: int, **fields) -> Recurrence:
    return Recurrence(problem_id="p1", occurrence=number, **fields)


HISTORY: list[Message] = [
    updated(2, 1, 2, severity="critical"),
    updated(3, 3, title="Two switches down"),
    updated(4, 4, 5, severity="medium", reason="same uplink"),
    cleared(5),
    updated(6, 20, 21, reopens=True, recurrence=occurrence(2), reason="it is back"),
    updated(7, quiet_since=at(21), reason="still open"),
    cleared(8, confidence=0.6, note="probably: sw-0 speaks normally again"),
    updated(9, 40, reopens=True, recurrence=occurrence(3, cadence="every 20 s"), announce=True),
    updated(10, quiet_since=at(40), recurrence=occurrence(3, resolved_before="expired: silence")),
    updated(11, 60, recurrence=occurrence(4, cadence="every 20 s")),
    updated(12, 61),
    explained("rules", 1),
    explained("llm", 9),
    explained("cache", 2),
    explained("rules", 11, of_revision=4),
    explained("rules", 12, of_revision=4, of_change=1),
]


def folded(*facts: Message) -> StoredIncident:
    stored = None
    for fact in facts:
        stored = evolve(stored, fact)
    assert stored
    return stored


def essence(stored: StoredIncident) -> dict[str, object]:
    """Everything but the order of appearance, which the order of arrival decides, and what the
    incident showed when an occurrence ended."""
    told = stored.model_dump(exclude={"occurrences"})
    told["occurrences"] = [
        (one.problem_id, one.number, one.began, one.ended is None, one.ending)
        for one in occurrences_of(stored)
    ]
    for name in ("affected_devices", "affected_services", "tracking_ids"):
        told["incident"][name] = set(told["incident"][name])
    return told


def test_updates_add_members_and_change_what_they_name():
    incident = folded(created(), updated(2, 1, 2, severity="critical"), updated(3, 3)).incident
    assert incident.anomaly_count == 4
    assert incident.severity is Severity.CRITICAL
    assert incident.title == "Link down on sw-0"
    assert incident.affected_devices == ("sw-0", "sw-1", "sw-2", "sw-3")
    assert incident.tracking_ids == ("t0", "t1", "t2", "t3")
    assert (incident.first_seen, incident.last_seen) == (at(0), at(3))
    assert incident.updated_at == updated(3, 3).stages["correlate"]


@given(st.lists(st.sampled_from(HISTORY)))
def test_any_redelivery_folds_to_the_same(repeated):
    once = folded(created(), *HISTORY)
    assert folded(created(), *HISTORY, created(), *repeated) == once


@given(st.permutations(HISTORY), st.lists(st.sampled_from(HISTORY)))
def test_facts_that_a_kill_reordered_fold_to_the_same(order, repeated):
    explanations = sum(fact.subject == "incidents.enriched" for fact in HISTORY)
    opened = created(recurrence=occurrence(1))
    once, other = folded(opened, *HISTORY), folded(opened, *order, *repeated)
    # A worse explanation that comes after a better one is no step at all.
    assert abs(other.version - once.version) < explanations
    same = {"version": once.version, "missing": ()}
    assert essence(other.model_copy(update=same)) == essence(once.model_copy(update=same))
    assert not other.missing


def test_a_fact_before_its_creation_is_tried_again():
    with pytest.raises(Premature):
        evolve(None, updated(2, 1))


def test_a_cleared_incident_keeps_its_status_and_still_counts_late_members():
    incident = folded(created(), cleared(3), updated(2, 1), updated(4, 2)).incident
    assert incident.status is Status.RESOLVED
    assert incident.resolve_reason == "recovered"
    assert incident.anomaly_count == 3


def test_an_acknowledged_incident_still_resolves():
    ack = transitioned(1, "ack")
    assert folded(created(), ack).incident.status is Status.ACK
    assert folded(created(), ack, cleared(2)).incident.status is Status.RESOLVED


def test_an_ack_that_lost_the_race_against_the_clearing_opens_nothing():
    stored = folded(created(), cleared(2), transitioned(1, "ack"))
    assert stored.incident.status is Status.RESOLVED
    assert stored.change == 1


def test_reopened_by_an_operator_the_reason_is_gone():
    incident = folded(created(), cleared(2), transitioned(1, "reopen")).incident
    assert (incident.status, incident.resolve_reason) == (Status.OPEN, None)


def test_what_an_operator_edited_no_update_overwrites():
    edit = transitioned(1, "edit", title="The modem again", severity="low", assignee="eto")
    incident = folded(created(), edit, updated(2, 1, title="x", severity="critical")).incident
    assert (incident.title, incident.severity) == ("The modem again", Severity.LOW)
    assert incident.assignee == "eto"


def test_a_transition_counts_once():
    ack = transitioned(1, "ack", comment="seen")
    assert folded(created(), ack, ack) == folded(created(), ack)


def test_the_newest_fifty_members_stay_and_duplicates_replace_none():
    repeats = tuple(evidence(n, role=Role.DUPLICATE) for n in range(100, 200))
    many = folded(created(), updated(2, *range(1, 40)), updated(3, 40, members=repeats)).incident
    roles = [one.role for one in many.evidence]
    assert (roles.count(Role.MEMBER), len(roles)) == (40, 50)
    assert many.anomaly_count == 140
    more = folded(created(), updated(2, *range(1, 80))).incident
    assert [one.ts for one in more.evidence] == [at(n) for n in range(30, 80)]


def test_a_thousand_tracking_ids_stay_and_the_count_is_exact():
    facts = [updated(2 + k, *range(1 + 100 * k, 101 + 100 * k)) for k in range(12)]
    incident = folded(created(), *facts).incident
    assert incident.anomaly_count == 1201
    assert incident.tracking_ids == tuple(f"t{n}" for n in range(201, 1201))


def test_the_timeline_forgets_the_old_but_never_the_creation():
    facts = [updated(2 + n, 1 + n, reason=f"step {n}") for n in range(2 * TIMELINE_KEPT)]
    timeline = folded(created(), *facts).incident.timeline
    assert len(timeline) == TIMELINE_KEPT
    assert timeline[0].kind == "created"
    assert timeline[-1].text.startswith(f"step {2 * TIMELINE_KEPT - 1}")
    assert list(timeline) == sorted(timeline, key=lambda entry: entry.ts)
    late = updated(1000, reason="late").model_copy(update={"ts": at(150.5)})
    texts = [entry.text for entry in folded(created(), *facts, late).incident.timeline]
    assert (len(texts), texts[0]) == (TIMELINE_KEPT, timeline[0].text)
    assert texts[1:] == [
        *(entry.text for entry in timeline[2:50]),
        "late",
        *(entry.text for entry in timeline[50:]),
    ]


@pytest.mark.parametrize(
    ("sources", "stands"),
    [
        (["rules", "llm"], "llm"),
        (["llm", "rules"], "llm"),
        (["cache", "rules"], "cache"),
        (["rules", "cache"], "cache"),
    ],
)
def test_the_better_explanation_stands(sources, stands):
    facts = [explained(source, n) for n, source in enumerate(sources, start=1)]
    stored = folded(created(), *facts)
    assert stored.insights and stored.insights.source == stands
    assert stored.insight_ms == pytest.approx(997)  # the first answer, a second after ingest
    assert stored.similar[0].id == "old"


@pytest.mark.parametrize(
    "facts",
    [
        (explained("llm", 1), explained("rules", 2, of_revision=5)),
        (explained("llm", 1, of_revision=5), explained("rules", 2, of_revision=5, of_change=1)),
        (explained("llm", 9, of_revision=4), explained("cache", 2, of_revision=5)),
    ],
)
def test_an_explanation_of_a_newer_state_stands_whatever_explained_the_older(facts):
    for order in permutations(facts):
        assert folded(created(), *order).insights == facts[-1].llm_insights


def test_an_explanation_changes_nothing_of_the_incident_itself():
    before = folded(created(), updated(2, 1, title="Newer title"))
    after = evolve(before, explained())
    assert after.incident.model_copy(update={"updated_at": at(0)}) == before.incident.model_copy(
        update={"updated_at": at(0)}
    )


def test_stored_and_loaded_it_is_the_same_but_for_its_tracking_ids():
    stored = folded(created(), *HISTORY, transitioned(1, "comment", comment="hm"))
    row = incident_row(stored)
    incident = stored.incident.model_copy(update={"tracking_ids": ()})
    assert stored_incident(row.body, row.fold) == stored.model_copy(update={"incident": incident})


def test_members_that_depart_no_longer_count():
    gone = evidence(1)
    part = updated(
        3,
        departed=(gone.anomaly_id,),
        affected_devices=("sw-0",),
        affected_services=("switchd",),
    )
    incident = folded(created(), updated(2, 1), part).incident
    assert (incident.anomaly_count, incident.affected_devices) == (1, ("sw-0",))
    assert [one.anomaly_id for one in incident.evidence] == [evidence(0).anomaly_id]


def test_a_merged_incident_says_into_which_and_keeps_nothing():
    merged = cleared(3, resolve_reason="merged", merged_into="i9")
    incident = folded(created(), updated(2, 1), merged).incident
    assert (incident.status, incident.resolve_reason) == (Status.RESOLVED, "merged into i9")
    assert (incident.anomaly_count, incident.evidence) == (0, ())


def test_revisions_that_a_fact_has_joined_are_not_missed():
    stored = folded(created(), updated(4, 1, 2, 3, joined=(2, 3)), updated(9, 4, joined=(5, 7)))
    assert (stored.revision, stored.missing) == (9, (6, 8))
    late = evolve(stored, updated(8, 5, joined=(6,)))
    assert (late.revision, late.missing) == (9, ())
    assert evolve(late, updated(6, 6)) is late


def test_what_may_be_missing_is_bounded_however_far_revisions_jump():
    stored = folded(created(), updated(1 << 40, 1))
    assert len(stored.missing) == MISSING_KEPT
    assert stored.missing[-1] == (1 << 40) - 1


def test_devices_and_services_that_senders_name_are_bounded_to_the_newest():
    stored = folded(created(), *(updated(n, n) for n in range(2, AFFECTED_KEPT + 50)))
    affected = stored.incident.affected_devices
    assert len(affected) == AFFECTED_KEPT
    assert affected[-1] == f"sw-{AFFECTED_KEPT + 49}"
    assert stored.incident.anomaly_count == AFFECTED_KEPT + 49


# -- open again, quiet, occurrences ----------------------------------------------------------------


def returned(revision: int, *numbers: int, **fields) -> Message:
    return updated(revision, *numbers, reopens=True, **fields)


def by_hand(change: int, kind: str, seen: int, **fields) -> Message:
    """What a person decided who knew the facts up to *seen*."""
    return transitioned(change, kind, revision=seen, **fields)


OPEN, ACK, RESOLVED = Status.OPEN, Status.ACK, Status.RESOLVED


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ([cleared(2), returned(3, 1)], OPEN, None),
        ([by_hand(1, "ack", 1), cleared(2), returned(3, 1)], OPEN, None),
        ([cleared(2), returned(3, 1), cleared(4)], RESOLVED, "recovered"),
        ([by_hand(1, "resolve", 1), returned(2, 1)], OPEN, None),
        ([by_hand(1, "resolve", 1), cleared(2)], RESOLVED, "resolved by operator"),
        ([cleared(2), by_hand(1, "reopen", 2), returned(3, 1)], OPEN, None),
        ([cleared(2), returned(3, 1), by_hand(1, "resolve", 3)], RESOLVED, "resolved by operator"),
        ([cleared(2), returned(3, 1), by_hand(1, "ack", 3)], ACK, None),
        ([by_hand(1, "merge", 1, merged_into="i9"), returned(2, 1)], RESOLVED, "merged into i9"),
        ([cleared(2, merged_into="i9", resolve_reason="merged")], RESOLVED, "merged into i9"),
        ([cleared(2, confidence=0.5)], RESOLVED, "probably recovered"),
    ],
)
def test_the_status_is_what_the_last_fact_decided_in_any_order(facts, status, reason):
    """A person's transitions come in order: they are numbered, and this service publishes them."""
    for order in permutations(facts):
        hands = [fact.change for fact in order if hasattr(fact, "change")]
        if hands == sorted(hands):
            shown = folded(created(), *order).incident
            assert (shown.status, shown.resolve_reason) == (status, reason), order


def life(steps: list[str]) -> list[Message]:
    """The facts of an incident to which *steps* happen, each known to the person who acts next."""
    facts: list[Message] = []
    revision, change, number = 1, 0, 1
    for n, step in enumerate(steps, start=1):
        if step in ("ack", "resolve", "reopen"):
            change += 1
            facts.append(by_hand(change, step, revision))
            continue
        revision += 1
        if step == "clear":
            facts.append(cleared(revision, confidence=0.5 + n % 2 / 2))
        elif step == "quiet":
            facts.append(updated(revision, quiet_since=at(n), reason="still open"))
        elif step == "return":
            number += 1
            facts.append(returned(revision, n, recurrence=occurrence(number), announce=n % 2 == 0))
        else:
            facts.append(updated(revision, n, severity="low"))
    return facts


STEPS = ("clear", "return", "return", "quiet", "grow", "ack", "resolve", "reopen")


@given(st.lists(st.sampled_from(STEPS), max_size=9), st.randoms(use_true_random=False))
def test_any_life_of_an_incident_is_the_same_in_any_order_of_its_facts(steps, random):
    """Transitions keep theirs: they are numbered, and this service publishes them."""
    facts = life(steps)
    order = random.sample(facts, len(facts))
    hands = iter([fact for fact in facts if hasattr(fact, "change")])
    order = [next(hands) if hasattr(fact, "change") else fact for fact in order]
    opened = created(recurrence=occurrence(1))
    once, other = folded(opened, *facts), folded(opened, *order, *order)
    assert essence(other) == essence(once)
    if not once.incident.quiet_since:
        return
    assert once.incident.status in (OPEN, ACK)


def test_a_person_who_resolves_it_now_is_not_overruled_by_an_older_return_that_comes_late():
    known = folded(created(), cleared(2), updated(4, 5))  # the return, 3, is still to come
    done = evolve(known, transitioned(1, "resolve", revision=4, resolve_reason="replaced"))
    late = evolve(done, returned(3, 1))
    assert late.incident.status is RESOLVED
    assert late.incident.resolve_reason == "replaced"
    assert evolve(late, returned(5, 9)).incident.status is OPEN


def test_a_transition_of_a_former_release_stands_where_it_is_folded():
    assert folded(created(), cleared(2), transitioned(1, "reopen")).incident.status is OPEN
    assert folded(created(), transitioned(1, "ack"), cleared(2)).incident.status is RESOLVED


def test_an_incident_of_a_former_release_goes_on_from_the_status_that_it_has():
    stored = folded(created(), cleared(2)).model_copy(update={"turns": None})
    assert evolve(stored, updated(3, 1)).incident.status is RESOLVED
    assert evolve(stored, returned(3, 1)).incident.status is OPEN


def test_a_return_is_told_in_the_timeline():
    back = returned(
        3,
        1,
        2,
        recurrence=occurrence(3, cadence="daily at 04:02"),
        reason="it is back",
    )
    entry = folded(created(), cleared(2), back).incident.timeline
    words = {one.kind: one.text for one in entry}
    assert words["reopened"] == (
        "reopened: occurrence 3, daily at 04:02; it is back; 2 anomalies joined"
    )


def test_an_inferred_end_says_how_sure_it_is():
    end = cleared(2, confidence=0.6, note="probably: sw-0 speaks normally again")
    [entry] = [e for e in folded(created(), end).incident.timeline if e.kind == "cleared"]
    assert entry.text == "probably recovered (60% sure): sw-0 speaks normally again"


def test_it_is_quiet_until_something_is_seen_again():
    quiet = folded(created(), updated(2, 1), updated(3, quiet_since=at(1), reason="still open"))
    assert quiet.incident.quiet_since == at(1)
    assert quiet.incident.timeline[-1].kind == "quiet"
    assert evolve(quiet, updated(4, 9)).incident.quiet_since is None
    late = folded(created(), updated(4, 9), updated(3, quiet_since=at(1)))
    assert late.incident.quiet_since is None


def test_what_is_over_is_not_quiet_and_is_again_when_a_person_reopens_it():
    quiet = folded(created(), updated(2, quiet_since=at(0)))
    over = evolve(quiet, transitioned(1, "resolve", revision=2))
    assert over.incident.quiet_since is None
    assert evolve(over, transitioned(2, "reopen", revision=2)).incident.quiet_since == at(0)


def test_whether_to_tell_is_of_the_newest_occurrence_or_change_and_not_of_growth():
    opened = created(recurrence=occurrence(1))
    assert folded(opened, updated(2, 1)).incident.announce
    back = returned(3, 2, recurrence=occurrence(2))
    assert not folded(opened, back, updated(4, 3)).incident.announce
    assert folded(opened, back, updated(4, severity="critical", announce=True)).incident.announce


def test_the_times_that_it_came_are_counted_with_their_ends():
    stored = folded(created(recurrence=occurrence(1)), *HISTORY)
    told = [(o.number, o.began, o.ended, o.ending, o.note) for o in occurrences_of(stored)]
    assert told == [
        (1, at(0), at(5), "recovered", ""),
        (2, at(20), at(21), "probably recovered", "sw-0 speaks normally again"),
        (3, at(40), at(40), "expired", "silence"),
        (4, at(60), None, "", ""),
    ]
    assert stored.incident.recurrence == occurrence(4, cadence="every 20 s")


def test_an_occurrence_that_nobody_ended_was_over_when_the_next_began():
    facts = (updated(2, 5), updated(3, 60, recurrence=occurrence(2)))
    first, second = occurrences_of(folded(created(recurrence=occurrence(1)), *facts))
    assert (first.ended, first.ending, first.devices) == (at(5), "", 2)
    assert (second.began, second.ended, second.devices) == (at(60), None, 3)


def test_an_occurrence_that_is_reopened_goes_on():
    back = returned(3, 9, recurrence=occurrence(1))
    [only] = occurrences_of(folded(created(recurrence=occurrence(1)), cleared(2), back))
    assert (only.number, only.began, only.ended) == (1, at(0), None)


def test_what_a_person_resolves_and_reopens_ends_the_occurrence_and_goes_on():
    opened = created(recurrence=occurrence(1))
    resolved = transitioned(
        1, "resolve", revision=1, resolve_reason="modem replaced", comment="new PSU"
    )
    [only] = occurrences_of(folded(opened, resolved))
    assert (only.ended, only.ending) == (resolved.ts, "modem replaced")
    assert only.note == "mate: new PSU"
    [only] = occurrences_of(folded(opened, resolved, transitioned(2, "reopen", revision=1)))
    assert only.ended is None


def test_what_is_stored_of_turns_and_occurrences_is_bounded():
    facts: list[Message] = [created(recurrence=occurrence(1))]
    for n in range(1, 4 * KEPT):
        revision = 2 * n
        facts.append(cleared(revision))
        facts.append(returned(revision + 1, 10 * n, recurrence=occurrence(n + 1)))
    stored = folded(*facts)
    assert [one.number for one in occurrences_of(stored)] == list(range(3 * KEPT + 1, 4 * KEPT + 1))
    assert stored.turns and len(stored.turns.recent) == standing.TURNS_KEPT
    assert len(stored.occurrences.pauses) <= 2 * KEPT
    assert stored.incident.status is OPEN
    assert len(incident_row(stored).fold) < 40_000
