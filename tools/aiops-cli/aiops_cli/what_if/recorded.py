"""The recorded anomalies in the order of arrival, and the facts beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from typing import Any

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.adapters.nats import NatsBus
from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyCleared, EnrichedAnomaly
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.unreadable import read_all, read_stored
from aiops_core.runtime.watched import watched_inventory, watched_ship, watched_silences
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy

WITHIN = 5.0  # seconds that the broker may take
PAGE = 5_000  # anomalies that are in memory at once, more when so many came within STEP
STEP = 10  # seconds
OPEN = 4_102_444_800  # 2100, the end of the last span: a row written again has a later time

COUNTS = (
    "SELECT toUnixTimestamp(toStartOfInterval(stored_at, toIntervalSecond(%(step)s))) AS at,"
    " count() FROM aiops.anomalies FINAL"
    " WHERE version = 2 AND stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s))"
    " GROUP BY at ORDER BY at"
)
BODIES = (
    "SELECT body, anomaly_id FROM aiops.anomalies FINAL WHERE version = 2"
    " AND stored_at >= fromUnixTimestamp(%(since)s) AND stored_at < fromUnixTimestamp(%(until)s)"
    " ORDER BY stages['enrich'], anomaly_id"
)


@dataclass(frozen=True)
class Pages:
    """*total* anomalies, in spans of seconds since 1970 that hold about a page each."""

    total: int
    bounds: Sequence[int]


async def pages(store: ClickHouse, since: datetime) -> Pages:
    micros = round(since.timestamp() * 1_000_000)
    counted = await store.query(COUNTS, {"since": micros, "step": STEP})
    return Pages(sum(n for _, n in counted), _bounds(counted))


def _bounds(counted: Sequence[tuple[int, int]]) -> list[int]:
    bounds, room = [at for at, _ in counted[:1]], PAGE
    for at, number in counted:
        if number > room and at != bounds[-1]:
            bounds.append(at)
            room = PAGE
        room -= number
    return [*bounds, OPEN] if counted else []


async def read(store: ClickHouse, found: Pages) -> AsyncIterator[Sequence[EnrichedAnomaly]]:
    """A page after the other."""
    for since, until in pairwise(found.bounds):
        rows = await store.query(BODIES, {"since": since, "until": until})
        yield read_all(rows, "what-if.anomalies", _anomaly, name=itemgetter(1))


def _anomaly(row: tuple[Any, ...]) -> EnrichedAnomaly:
    return EnrichedAnomaly.model_validate_json(row[0])


@dataclass(frozen=True)
class Known:
    """As it is now: silences and outages say themselves when they hold. *recoveries* by arrival."""

    inventory: Inventory
    silences: Sequence[Silence]
    outages: Sequence[LinkOutage]
    recoveries: Sequence[AnomalyCleared]

    def correlator(self, policy: CorrelatePolicy) -> Correlator:
        """One that decides by *policy* and knows all this."""
        correlator = Correlator(policy)
        correlator.use(self.inventory)
        correlator.suppression.silences.replace(self.silences)
        correlator.suppression.outages.replace(self.outages)
        return correlator


async def known(settings: Settings, since: datetime) -> Known:
    """Raises Unavailable when the broker does not answer."""
    limits = RetentionPolicy.load(settings.policies).streams
    bus = NatsBus(settings.nats_url, limits, Readiness("what-if"), "what-if")
    try:
        async with asyncio.timeout(WITHIN):
            await bus.connect()
        inventory, silences, ship = watched_inventory(bus), watched_silences(bus), watched_ship(bus)
        for one in (inventory, silences, ship):
            await one.load(WITHIN)
        over = await recoveries(bus, since)
        return Known(inventory.value, silences.value, ship.value.outages, over)
    except TimeoutError:
        raise Unavailable(
            f"nats at {settings.nats_url} did not answer within {WITHIN:g} s"
        ) from None
    finally:
        await bus.close()


async def recoveries(bus: Bus, since: datetime) -> list[AnomalyCleared]:
    found = []
    async for stored in bus.history([AnomalyCleared.subject], since=since):
        cleared = read_stored(stored, "what-if.recoveries")
        if isinstance(cleared, AnomalyCleared):
            found.append(cleared.stamped("replayed", stored.at))
    return found
