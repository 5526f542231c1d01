"""How much correlation remembers: bounded, small, and complete where it must be."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Device, EnrichedAnomaly
from correlation_service import members, state
from correlation_service.correlator import Correlator
from correlation_service.kept import KeptIncident
from correlation_service.members import Members
from correlation_service.policy import CorrelatePolicy
from tests import correlation_cases
from tests.conftest import NOON, ROOT


def test_the_oldest_of_too_many_known_anomalies_is_new_again(monkeypatch):
    monkeypatch.setattr(state, "SEEN_KEPT", 2)
    correlator = Correlator(correlation_cases.POLICY)
    one, two, three = (correlation_cases.anomaly(n) for n in range(3))
    told = [bool(correlator.handle(a)) for a in (one, two, three, three, one)]
    assert told == [True, True, True, False, True]
    assert len(correlator.state.seen) == 2


OWN = {"msg": "line 2", "severity": "high", "score": 0.9, "tracking_id": "t7"}
OTHER_SERIES = (
    {"ship_id": "s2"},
    {"domain": "security"},
    {"kind": "link_down"},
    {"device_id": "srv-7"},
    {"host": "srv-1.local", "device_id": "srv-1"},
    {"service": "db"},
    {"detector": "burst"},
    {"metric": "cpu"},
    {"meta": {"peer": "10.9.8.7"}},
)


@pytest.mark.parametrize("changes", [OWN, *OTHER_SERIES])
def test_what_was_worked_out_for_one_anomaly_changes_nothing_of_another(changes):
    first, other = correlation_cases.anomaly(1), correlation_cases.anomaly(2, **changes)
    needs_it = Device(id=first.device, upstream=("sw-1",))
    used, unused = Members(correlation_cases.POLICY), Members(correlation_cases.POLICY)
    used.of(first, first.anomaly_id, Inventory([Device(id="sw-1"), needs_it]))
    member = used.of(other, other.anomaly_id, Inventory())
    assert member == unused.of(other, other.anomaly_id, Inventory())
    assert (member.msg, member.severity) == (other.msg, other.severity)
    assert member.upstream == tuple(device.id for device in other.context.upstream)


def test_of_more_series_than_are_kept_every_member_is_the_same(monkeypatch):
    monkeypatch.setattr(members, "SERIES_KEPT", 2)
    attacks = [
        correlation_cases.anomaly(n, meta={"peer": f"10.0.0.{n % 4}"}, kind="credential_attack")
        for n in range(8)
    ]
    few = Members(correlation_cases.POLICY)
    for attack in attacks:
        fresh = Members(correlation_cases.POLICY)
        member = few.of(attack, attack.anomaly_id, Inventory())
        assert member == fresh.of(attack, attack.anomaly_id, Inventory())
        assert member.peer in member.keys[0]


def anomaly(window: int, problem: int) -> EnrichedAnomaly:
    device, at = f"device-{window:05}", NOON + timedelta(milliseconds=window)
    return EnrichedAnomaly.model_validate(
        {
            "tracking_id": f"{device}-{problem}",
            "ship_id": "s1",
            "ts": at,
            "stages": {"ingest": at, "detect": at, "enrich": at},
            "domain": "app",
            "anomaly_type": "hardware_failure",
            "service": "app",
            "device_id": device,
            "host": device,
            "detector": "pattern",
            "score": 0.7,
            "severity": "medium",
            "msg": f"part {chr(97 + problem)} of it went wrong " + "x" * 80,
        }
    )


def test_a_thousand_open_states_take_thirty_megabytes_at_most():
    """As found in alerts of three objects each, and as restored from what was kept."""
    correlator = Correlator(correlation_cases.POLICY)
    tracemalloc.start()
    try:
        for n in range(3000):
            port, at = f"interface Gi1/0/{n % 3}", 4 * (n // 3) + n % 3
            fields = {"component": port, "msg": f"{port} is down " + "x" * 200, "at": at}
            correlator.handle(correlation_cases.anomaly(n, f"sw-{n // 3}", "link_down", **fields))
        found, _ = tracemalloc.get_traced_memory()
        copies = [KeptIncident.copied(correlator.state, id_).encoded() for id_ in _open(correlator)]
        del correlator
        before, _ = tracemalloc.get_traced_memory()
        again = Correlator(correlation_cases.POLICY)
        for copy in copies:
            KeptIncident.model_validate_json(copy).restore(again.state, again.policy)
        restored = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(_open(again)) == 1000
    assert found < 30e6 and restored < 30e6 and sum(map(len, copies)) < 10e6


def _open(correlator: Correlator) -> list[str]:
    return list(correlator.state.open.incidents)


def test_ten_problems_each_in_many_windows_take_less_than_a_hundredth_of_a_megabyte_each(
    policies: Path,
):
    """10,000 windows with 100,000 fingerprints must fit into 300 MB; here a fortieth of that."""
    correlator = Correlator(CorrelatePolicy.load(ROOT / "policies"))
    tracemalloc.start()
    try:
        for problem in range(10):
            for window in range(250):
                correlator.handle(anomaly(window, problem))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(correlator.state.open.incidents) == 250
    assert used / 250 < 25_000  # bytes a window with its ten problems, of 30,000 there are
