"""Facts about an incident -> the incident that the API shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.errors import Premature
from aiops_core.models import Message, Role, Severity, Status
from incident_api.folding import AFFECTED_KEPT, MISSING_KEPT, StoredIncident, evolve
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

HISTORY: list[Message] = [
    updated(2, 1, 2, severity="critical"),
    updated(3, 3, title="Two switches down"),
    updated(4, 4, 5, severity="medium", reason="same uplink"),
    cleared(5),
    explained("rules", 1),
    explained("llm", 9),
    explained("cache", 2),
]


def folded(*facts: Message) -> StoredIncident:
    stored = None
    for fact in facts:
        stored = evolve(stored, fact)
    assert stored
    return stored


def essence(stored: StoredIncident) -> dict[str, object]:
    """Everything but the order of appearance, which the order of arrival decides."""
    told = stored.model_dump()
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
    once, other = folded(created(), *HISTORY), folded(created(), *order, *repeated)
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
