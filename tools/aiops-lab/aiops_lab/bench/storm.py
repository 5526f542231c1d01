"""``aiops bench --only storm``: one device goes mad while others have real faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import AnomalyDetected
from aiops_core.runtime.service import utc_now
from aiops_lab.bench.anomalies import Anomalies, open_sink
from aiops_lab.bench.load import send
from aiops_lab.bench.measure import Meter, Usage
from aiops_lab.bench.pipeline import balance
from aiops_lab.bench.report import usages
from aiops_lab.bench.run import Parts, Say, running
from aiops_lab.fleet.plan import Plan

MAD = "mad-00"
OTHERS = 5
EVERY = 100  # one anomaly of so many is of another device
DRAINED = 300.0  # seconds


@dataclass(frozen=True)
class Storm:
    """*total* anomalies, nearly all of one device; at *rate* a second, None: as fast as accepted."""

    total: int
    rate: float | None = None
    ship_id: str = "bench"

    def line(self, n: int, now: datetime) -> AnomalyDetected:
        device = f"other-{n // EVERY % OTHERS}" if n % EVERY == 0 else MAD
        kind = n // EVERY % OTHERS if n % EVERY == 0 else 0
        found = Anomalies(self.total, self.rate, ship_id=self.ship_id).line(kind, now)
        return found.model_copy(update={"device_id": device, "host": device})

    def is_wrong(self, n: int) -> bool:
        return True


@dataclass(frozen=True)
class Raged:
    """What became of a storm. *others* had real faults, *others_seen* of them have an incident of
    their own; *drained* seconds after the first anomaly all of them had ended."""

    sent: int
    seconds: float
    drained: float
    incidents_of_the_storm: int
    others: int
    others_seen: int
    balance: dict[str, int]
    usage: dict[str, Usage]


async def rage(parts: Parts, storm: Storm) -> Raged:
    """Send *storm* to a running fleet and wait until it has drained."""
    meter = Meter(parts.fleet.pids)
    began, started = utc_now(), time.monotonic()
    async with open_sink(parts.settings) as sink:
        sent = await send(storm, sink)
    books = await _drained(parts, began, sent.lines, time.monotonic() + DRAINED)
    seconds = time.monotonic() - started
    places = await _places(parts.store, storm.ship_id)
    mad = places.pop(MAD, set())
    return Raged(
        sent=sent.lines,
        seconds=sent.seconds,
        drained=seconds,
        incidents_of_the_storm=len(mad),
        others=OTHERS,
        others_seen=sum(len(found) == 1 and not found & mad for found in places.values()),
        balance=books,
        usage=meter.read(seconds),
    )


async def _drained(parts: Parts, began: datetime, total: int, deadline: float) -> dict[str, int]:
    while True:
        books = await balance(parts, began)
        done = books["detected"] - books["in_flight"] >= total
        if done or time.monotonic() > deadline:
            return books


async def _places(store: ClickHouse, ship_id: str) -> dict[str, set[str]]:
    """Device -> the incidents that have its anomalies."""
    rows = await store.query(
        "SELECT device_id, groupUniqArray(incident_id) FROM aiops.incident_members FINAL"
        " WHERE ship_id = %(ship)s AND role IN ('member', 'duplicate') GROUP BY device_id",
        {"ship": ship_id},
    )
    return {device: set(incidents) for device, incidents in rows}


async def bench(plan: Plan, *, total: int, rate: float, say: Say) -> Raged:
    say("starting the fleet")
    async with running(plan, say) as parts:
        say(f"{total} anomalies at {rate:g}/s, {EVERY - 1} of {EVERY} from one device")
        return await rage(parts, Storm(total, rate))


def report(found: Raged) -> Iterator[RenderableType]:
    ended = ", ".join(
        f"{value:,} {name.replace('_', ' ')}" for name, value in found.balance.items()
    )
    yield Text(
        f"{found.sent:,} anomalies accepted in {found.seconds:.1f} s, all ended after "
        f"{found.drained:.1f} s ({found.sent / found.drained:,.0f}/s)\n"
        f"the storm is {found.incidents_of_the_storm} incident(s); {found.others_seen} of "
        f"{found.others} other faults have one of their own\nledger: {ended}\n"
    )
    yield usages(found.usage)
