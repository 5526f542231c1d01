"""Facts about an incident -> what is explained: the incident that the API shows, and its kinds."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from aiops_core.models import (
    AlertsCleared,
    EnrichedIncident,
    Incident,
    LlmInsights,
    Recurrence,
    RootCause,
)
from incident_api.folding import StoredIncident
from incident_api.folding import evolve as shown_after
from llm_enricher.answering.current import CurrentIncident, Incidents, answer_of, created, evolve
from llm_enricher.answering.members import ALERTS_KEPT, CITED_KEPT, KINDS_KEPT
from tests.incident_cases import at, cleared, evidence, transitioned, updated
from tests.incident_cases import created as creation

OF_THE_API = {"timeline", "updated_at", "revision", "resolve_reason", "context"}  # of these alone
UNORDERED = ("affected_devices", "affected_services", "tracking_ids")


def kind(n: int) -> str:
    return ("link_down", "link_degraded", "dns_failure")[n % 3]


def member(n: int, **fields):
    """Every third is of the same type; there are four devices."""
    given = {
        "anomaly_type": kind(n),
        "device_id": f"sw-{n % 4}",
        "alerts": (f"al-{n % 4}-{n % 3}",),
    }
    return evidence(n, **given | fields)


STEPS = (
    *("grow", "grow", "worse", "root", "quiet", "clear", "return", "merge"),
    *("part", "recover", "ack", "resolve", "reopen", "edit"),
)


def life(steps: list[str]) -> list:
    """The facts of an incident to which *steps* happen."""
    facts, revision, change, inside = [], 1, 0, [0]
    for n, step in enumerate(steps, start=1):
        if step in ("ack", "resolve", "reopen", "edit"):
            change += 1
            fields = {"severity": "low", "title": f"named {n}"} if step == "edit" else {}
            facts.append(transitioned(change, step, revision=revision, **fields))
            continue
        revision += 1
        is_clear = step == "clear"
        facts.append(cleared(revision) if is_clear else updated(revision, **said(step, n, inside)))
    return facts


def said(step: str, n: int, inside: list[int]) -> dict[str, object]:
    """The fields of an update; *inside*: the members that the incident has."""
    told = {
        "quiet": {"quiet_since": at(n)},
        "root": {"root_cause": RootCause(device=f"sw-{n}", confidence=0.5)},
        "worse": {"severity": "critical", "title": "Worse", "category": "core"},
        "recover": {"cleared": AlertsCleared(alerts=(f"al-{n % 4}-{n % 3}",))},
    }
    if step in told:
        return told[step]
    if step == "part" and len(inside) > 1:
        gone = member(inside.pop()).anomaly_id
        left = tuple(sorted({f"sw-{k % 4}" for k in inside}))
        return {"departed": (gone,), "affected_devices": left}
    inside.append(n)
    again = {"reopens": True, "recurrence": Recurrence(problem_id="p", occurrence=n)}
    return {"members": (member(n),)} | (again if step == "return" else {})


def opened() -> Incident:
    return creation(evidence=(member(0),), affected_devices=("sw-0",))


def now(facts) -> CurrentIncident:
    current = created(opened())
    for fact in facts:
        current = evolve(current, fact)
    return current


def shown(facts) -> StoredIncident:
    stored = shown_after(None, opened())
    for fact in facts:
        stored = shown_after(stored, fact)
    return stored


def essence(incident: Incident) -> dict[str, object]:
    told = incident.model_dump(exclude=OF_THE_API)
    return told | {name: set(told[name]) for name in UNORDERED}


def in_any_order(facts, random):
    """As a kill may reorder and repeat them. Transitions keep their order: they are numbered."""
    order = random.sample(facts, len(facts))
    hands = iter([fact for fact in facts if hasattr(fact, "change")])
    order = [next(hands) if hasattr(fact, "change") else fact for fact in order]
    return [*order, *random.sample(facts, len(facts) // 2)]


@given(st.lists(st.sampled_from(STEPS), max_size=14), st.randoms(use_true_random=False))
def test_it_is_the_incident_that_the_api_shows_whatever_a_kill_has_reordered(steps, random):
    facts = life(steps)
    for order in (facts, in_any_order(facts, random)):
        current, stored = now(order), shown(order)
        assert essence(current.incident) == essence(stored.incident)
        assert current.missing == stored.missing
        assert current.incident.revision == stored.revision
        assert current.change == stored.change


@given(st.lists(st.sampled_from(STEPS), max_size=14), st.randoms(use_true_random=False))
def test_kinds_count_the_members_that_are_there_in_any_order(steps, random):
    facts = life(steps)
    once, other = now(facts), now(in_any_order(facts, random))
    inside = [member(0)]
    for fact in facts:
        inside += getattr(fact, "members", ())
        inside = [one for one in inside if one.anomaly_id not in getattr(fact, "departed", ())]
    expected = Counter((one.device, one.service, one.anomaly_type) for one in inside)
    for current in (once, other):
        counted = {(k.device, k.service, k.anomaly_type): k.count for k in current.kinds}
        assert counted == expected
    assert [k.cleared for k in once.kinds] == [k.cleared for k in other.kinds]
    assert all(k.newest in inside for k in once.kinds)


def test_a_kind_says_how_often_from_when_to_when_how_bad_and_what_was_last():
    more = updated(
        2, members=(member(3, device_id="sw-0"), member(6, device_id="sw-0", severity="critical"))
    )
    [found] = now([more]).kinds
    assert (found.device, found.anomaly_type, found.count) == ("sw-0", "link_down", 3)
    assert (found.first, found.last, found.severity) == (at(0), at(6), "critical")
    assert found.newest.anomaly_id == member(6).anomaly_id


def test_what_is_cited_never_belongs_to_another_incident_by_now():
    gone = [member(12 * n) for n in range(1, CITED_KEPT)]
    facts = [
        updated(2, members=tuple(gone)),
        updated(3, departed=tuple(one.anomaly_id for one in gone), affected_devices=("sw-0",)),
    ]
    [found] = now(facts).kinds
    assert (found.count, found.newest.anomaly_id) == (1, member(0).anomaly_id)


def test_who_comes_after_it_had_left_is_not_counted_but_who_comes_back_is():
    comes, leaves = updated(2, members=(member(1),)), updated(3, departed=(member(1).anomaly_id,))
    back = updated(4, members=(member(1),))
    assert len(now([leaves, comes]).kinds) == 1
    for order in permutations((comes, leaves, back)):
        assert [(one.device, one.count) for one in now(order).kinds] == [("sw-0", 1), ("sw-1", 1)]


def ended(seconds: float, revision: int = 9, **scope):
    fact = updated(revision, cleared=AlertsCleared(alerts=("al-0-0",), **scope))
    return fact.model_copy(update={"ts": at(seconds)})


def test_a_kind_is_over_when_all_of_its_parts_are():
    ports = updated(2, members=tuple(member(12 * n, component=f"port {n}") for n in (1, 2)))
    ends = [ended(100 + n, 2 + n, component=f"port {n}") for n in (1, 2)]
    assert [k.cleared for k in now([ports, *ends]).kinds] == [False]  # one had no part
    assert [k.cleared for k in now([ports, *ends, ended(110)]).kinds] == [True]
    elsewhere = ended(110, service="another")
    assert [k.cleared for k in now([ports, *ends, elsewhere]).kinds] == [False]


def test_a_recovery_that_comes_before_its_anomaly_ends_it_and_a_later_anomaly_begins_again():
    scope = AlertsCleared(alerts=("al-1-1",))
    end = updated(3, cleared=scope).model_copy(update={"ts": at(50)})
    began = updated(2, members=(member(1),))
    again = updated(4, members=(member(1, anomaly_id="again", ts=at(60)),))
    for order in ([began, end], [end, began]):
        assert {k.device: k.cleared for k in now(order).kinds} == {"sw-0": False, "sw-1": True}
    assert not any(k.cleared for k in now([end, began, again]).kinds)


def test_kinds_are_bounded_to_the_newest_whatever_senders_are_called():
    many = tuple(member(n, device_id=f"x-{n}") for n in range(1, KINDS_KEPT + 20))
    kinds = now([updated(2, members=many)]).kinds
    assert len(kinds) == KINDS_KEPT
    assert f"x-{KINDS_KEPT + 19}" in {one.device for one in kinds}


def test_alerts_of_a_kind_are_bounded_and_the_newest_can_still_end_it():
    many = tuple(
        member(12 * n, device_id="sw-0", alerts=(f"al-{n}",)) for n in range(1, 3 * ALERTS_KEPT)
    )
    current = now([updated(n, members=(one,)) for n, one in enumerate(many, start=2)])
    [kind] = current.members.kinds.values()
    assert len(kind.alerts) == ALERTS_KEPT
    ends = updated(3, cleared=AlertsCleared(alerts=many[-1].alerts), ts=at(99_999))
    assert now([updated(2, members=many), ends]).kinds[0].cleared


# -- what has explained it -------------------------------------------------------------------------


def explained(current: CurrentIncident, source: str) -> EnrichedIncident:
    insights = LlmInsights(root_cause="x", source=source)
    return answer_of(current, insights, (), {})


def test_an_answer_contains_the_state_that_it_explains():
    current = now([updated(2, members=(member(1),)), transitioned(1, "edit", severity="low")])
    answer = explained(current, "rules")
    assert (answer.llm_insights.of_revision, answer.llm_insights.of_change) == (2, 1)
    after = evolve(current, EnrichedIncident.model_validate_json(answer.model_dump_json()))
    assert (after.answered, after.modelled) == (current.state, None)
    assert evolve(after, explained(after, "llm")).modelled == current.state


def test_of_answers_in_any_order_the_one_to_the_newest_state_counts():
    old = created(opened())
    new = evolve(old, updated(2, severity="critical"))
    answers = explained(new, "rules"), explained(old, "llm")
    for order in (answers, answers[::-1]):
        current = new
        for answer in order:
            current = evolve(current, answer)
        assert (current.answered, current.modelled) == (new.state, old.state)


def test_facts_before_the_creation_wait_for_it():
    incidents = Incidents()
    assert incidents.fold(updated(2, severity="critical")) is None
    current = incidents.fold(opened())
    assert current and current.incident.severity == "critical"
    assert incidents.fold(updated(2, 7)) is current


def test_an_incident_older_than_what_is_read_goes_on_from_its_last_explanation():
    current = now([updated(2, members=(member(1),)), updated(5, severity="critical")])
    incidents = Incidents()
    known = incidents.fold(explained(current, "llm"))
    assert known and known.state == known.modelled == current.state
    after = incidents.fold(updated(6, members=(member(2),)))
    assert after and after.incident.anomaly_count == 3
    assert type(after.incident) is Incident
