"""The same anomalies, two policies -> which incidents differ, and how."""

from __future__ import annotations

import dataclasses
import io
from collections import deque
from datetime import timedelta

import pytest
import yaml
from rich.console import Console

from aiops_cli.what_if.compare import Diff, compare
from aiops_cli.what_if.recorded import PAGE, STEP, pages, read
from aiops_cli.what_if.replay import Outcome, PolicyReplay, in_order
from aiops_cli.what_if.report import EXAMPLES, report
from aiops_core.models import (
    AnomalyCleared,
    EnrichedAnomaly,
    IncidentCleared,
    IncidentUpdated,
    derived_id,
)
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy
from tests.conftest import NOON, ROOT
from tests.incident_cases import created, evidence

IN_FORCE = yaml.safe_load((ROOT / "policies/correlate.yaml").read_text())


def policy(**changes) -> CorrelatePolicy:
    return CorrelatePolicy.model_validate(IN_FORCE | changes)


def rule(device: str, id_: str = "bench") -> dict[str, object]:
    return {"id": id_, "reason": "expected", "match": {"device_id": device}}


def anomaly(n: float, device: str = "srv-1", kind: str = "service_error", **fields):
    at = NOON + timedelta(seconds=n)
    base = {
        "tracking_id": f"{device}-{kind}-{n}",
        "ship_id": "s1",
        "ts": at,
        "stages": {"ingest": at, "detect": at, "enrich": at},
        "domain": "app",
        "anomaly_type": kind,
        "service": "app",
        "device_id": device,
        "host": device,
        "detector": "pattern",
        "score": 0.7,
        "severity": "medium",
        "msg": f"{kind} happened",
    }
    return EnrichedAnomaly.model_validate(base | fields)


def outcome(anomalies, policy) -> Outcome:
    replay = PolicyReplay(Correlator(policy))
    for one in anomalies:
        replay.feed(one)
    return replay.outcome


def diff(anomalies, before, after) -> Diff:
    return compare(outcome(anomalies, before), outcome(anomalies, after))


TITLE = "app: service_error happened on srv-0"
HISTORY = [anomaly(n * 10, f"srv-{n % 3}") for n in range(12)]


def test_the_same_policy_makes_no_difference():
    found = diff(HISTORY, policy(), policy())
    assert found.empty
    assert (found.anomalies, found.before, found.after, found.same) == (12, 3, 3, 3)


def test_a_rule_that_hides_a_device_loses_its_incident_and_says_which_rule():
    found = diff(HISTORY, policy(), policy(suppress=[rule("srv-1")]))
    assert [one.anomalies for one in found.lost] == [4]
    assert found.hidden == {"bench": 4}
    assert (found.before, found.after, found.same, found.gained, found.shown) == (3, 2, 2, [], {})


def test_a_rule_that_is_taken_away_shows_what_it_hid():
    found = diff(HISTORY, policy(suppress=[rule("srv-1")]), policy())
    assert [one.anomalies for one in found.gained] == [4]
    assert (found.shown, found.hidden, found.lost) == ({"bench": 4}, {}, [])


def test_a_shorter_window_splits_and_a_longer_one_merges():
    quiet = [anomaly(n, service=f"app{n}") for n in (0, 200, 400)]
    short = {"window": timedelta(minutes=1), "windows": {}}
    found = diff(quiet, policy(), policy(**short))
    [split] = found.split
    assert (split.one.anomalies, [one.anomalies for one in split.several]) == (3, [1, 1, 1])
    [merged] = diff(quiet, policy(**short), policy()).merged
    assert (merged.one.anomalies, len(merged.several)) == (3, 3)


def test_other_words_change_an_incident_and_name_what():
    worded = {"default_wording": {"category": "misc", "title": "Trouble"}, "wording": {}}
    found = diff(HISTORY[:1], policy(), policy(**worded))
    [change] = found.changed
    assert change.differs == ["title", "category"]
    assert (change.before.title, change.after.title) == (TITLE, "Trouble")
    assert not (found.gained or found.lost or found.merged or found.split)


def test_an_incident_that_only_lost_some_of_its_anomalies_has_changed():
    both = [anomaly(0), anomaly(1, kind="device_reboot")]
    hides = {"id": "x", "reason": "r", "match": {"anomaly_type": "device_reboot"}}
    [change] = diff(both, policy(), policy(suppress=[hides])).changed
    assert (change.before.anomalies, change.after.anomalies) == (2, 1)
    assert "anomalies" in change.differs


def test_time_passes_between_recorded_anomalies():
    """An incident that has expired meanwhile does not absorb what comes after it."""
    found = outcome([anomaly(0), anomaly(7200)], policy())
    assert len(found.incidents) == 2


def test_recoveries_take_part_where_they_came():
    anomalies = [anomaly(n) for n in (0, 10, 20)]
    over = [cleared(5), cleared(15), cleared(99)]
    waiting = deque(over)
    fed = list(in_order(anomalies, waiting))
    assert fed == [anomalies[0], over[0], anomalies[1], over[1], anomalies[2]]
    assert list(waiting) == over[2:]
    replay = PolicyReplay(Correlator(policy()))
    for message in fed:
        replay.feed(message)
    assert len(replay.outcome.place) == 3


def cleared(n: float) -> AnomalyCleared:
    at = NOON + timedelta(seconds=n)
    return AnomalyCleared(
        tracking_id=f"c{n}",
        ship_id="s1",
        ts=at,
        stages={"replayed": at},
        device_id="srv-1",
        host="srv-1",
        anomaly_types=("service_error",),
        detector="recovery",
        reason="it answers again",
    )


def test_members_that_a_merge_moves_leave_the_absorbed_incident_which_is_none_any_more():
    known = Outcome()
    known.learn(created("i1", 0))
    known.learn(created("i2", 5))
    base = {"tracking_id": "t", "ship_id": "s1", "ts": NOON, "incident_id": "i2", "revision": 2}
    known.learn(IncidentUpdated(**base, members=(evidence(0),)))
    known.learn(IncidentCleared(**base | {"incident_id": "i1"}, resolve_reason="merged"))
    assert {k: len(g.members) for k, g in known.incidents.items()} == {"i2": 2}
    assert known.place[derived_id("t0", "pattern", "link_down")] == "i2"


@dataclasses.dataclass
class Recorded:
    """A ClickHouse that holds bodies by the second at which they were stored."""

    bodies: dict[int, list[str]]

    async def query(self, sql, parameters=None):
        if "count()" in sql:
            steps: dict[int, int] = {}
            for at, bodies in sorted(self.bodies.items()):
                steps[at - at % STEP] = steps.get(at - at % STEP, 0) + len(bodies)
            return list(steps.items())
        span = range(parameters["since"], parameters["until"])
        return [
            (b, "id") for at, bodies in sorted(self.bodies.items()) if at in span for b in bodies
        ]


async def test_everything_recorded_is_read_once_in_bounded_pages():
    second = int(NOON.timestamp())
    body = anomaly(0).model_dump_json()
    store = Recorded({second + n * 7: [body] * (PAGE // 3) for n in range(10)})
    found = await pages(store, NOON)
    sizes = [len(page) async for page in read(store, found)]
    assert sum(sizes) == found.total == 10 * (PAGE // 3)
    assert max(sizes) <= PAGE and len(sizes) > 3


async def test_what_is_written_again_after_it_was_counted_is_read_all_the_same():
    second = int(NOON.timestamp())
    store = Recorded({second: [anomaly(0).model_dump_json()]})
    found = await pages(store, NOON)
    store.bodies = {second + 2 * STEP: store.bodies[second]}
    assert [len(page) async for page in read(store, found)] == [1]


async def test_nothing_recorded_is_no_page():
    found = await pages(Recorded({}), NOON)
    assert [page async for page in read(Recorded({}), found)] == []


async def test_what_cannot_be_read_any_more_is_left_out():
    store = Recorded({int(NOON.timestamp()): ["{}", anomaly(0).model_dump_json()]})
    assert [len(p) async for p in read(store, await pages(store, NOON))] == [1]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({}, ["No difference"]),
        ({"suppress": [rule("srv-*")]}, ["lost", "bench", "12", TITLE]),
        ({"window": timedelta(minutes=1), "windows": {}}, ["incidents now", "3"]),
        (
            {"default_wording": {"category": "misc", "title": "Trouble"}, "wording": {}},
            ["category", "misc", TITLE, "Trouble"],
        ),
    ],
)
def test_the_report_says_it_in_words(after, words):
    screen = Console(width=120, file=io.StringIO())
    for part in report(diff(HISTORY, policy(), policy(**after)), "24h"):
        screen.print(part)
    text = screen.file.getvalue()
    assert all(word in text for word in words)


def test_of_many_examples_the_report_shows_the_largest():
    many = [anomaly(n, f"srv-{n % 20}") for n in range(60)]
    screen = Console(width=120, file=io.StringIO())
    for part in report(diff(many, policy(), policy(suppress=[rule("srv-*")])), "24h"):
        screen.print(part)
    assert f"and {20 - EXAMPLES} more" in screen.file.getvalue()
