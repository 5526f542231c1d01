"""A month of a ship on which few things are wrong, and one of them all the time."""

from datetime import timedelta

from aiops_core.models import Incident
from tests.conftest import NOON
from tests.correlation_cases import POLICY, anomaly
from tests.problem_cases import TICK, Ship, announced

MINUTE, HOUR, DAY = 60, 3600, 86400
MONTH, CHANGE = 30 * DAY, 27 * DAY


def month():
    """One every 17 min, every 41 min in the last days; one every day at four; three once."""
    chronic, at = [], 0
    while at < MONTH:
        chronic.append((at + (at * 7919) % 20, "srv-1", "service_error"))
        at += 17 * MINUTE if at < CHANGE else 41 * MINUTE
    four = [day * DAY + 16 * HOUR + day * 7919 % 20 for day in range(30)]
    daily = [(at, "core-1", "backup_failure") for at in four]
    single = [(3 * DAY, "sw-1", "link_down"), (9 * DAY, "srv-3", "disk_full")]
    single.append((20 * DAY, "dir-1", "certificate_error"))
    happened = sorted(chronic + daily + single)
    return [
        anomaly(n, device, kind, at=at, upstream=(), state=False)
        for n, (at, device, kind) in enumerate(happened)
    ]


def lived(kills=()):
    """The facts, and the ship afterwards. The clock ticks around each anomaly and each hour."""
    ship, facts, earlier = Ship(), [], []
    for n, message in enumerate(month()):
        while ship.now < message.ts - timedelta(hours=1):
            ship.now += timedelta(hours=1) - TICK
            facts += ship.after(minutes=2)
        ship.now = max(ship.now, message.ts - TICK)
        facts += ship.says(message)
        if n in kills:
            since = message.ts - POLICY.longest_memory
            saved = ship.problems if n % 2 else earlier
            ship.stream = [fact for fact in ship.stream if fact.ts >= since]
            ship.is_killed(saved=saved)
        if n % 5 == 0:
            earlier = ship.problems
    return facts, ship


def test_a_month_is_five_items_told_ten_times_and_kills_change_nothing():
    facts, ship = lived()
    assert len(ship.problems) == 5
    assert max(problem.count for problem in ship.problems) > 2300
    assert len([fact for fact in facts if isinstance(fact, Incident)]) <= 6
    told = announced(facts)
    assert len(told) <= 10
    [change] = [one for one in told if "before: every 17 min" in getattr(one, "reason", "")]
    since = change.ts - (NOON + timedelta(seconds=CHANGE))
    assert since <= 4 * timedelta(minutes=41)
    assert {p.cadence for p in ship.problems if p.is_open} == {"every 41 min", "daily at 04:00"}
    again, reborn = lived(kills={40, 333, 800, 801, 1500, 2222, 2300, 2350})
    assert again == facts
    assert reborn.problems == ship.problems
