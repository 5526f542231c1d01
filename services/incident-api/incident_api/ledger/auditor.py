"""The ledger of a span, and the background loop behind ``aiops_unaccounted_anomalies``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.observability import metrics
from aiops_core.observability.tally import MINUTE
from aiops_core.runtime.service import utc_now
from incident_api.ledger.broker import BrokerRecords
from incident_api.ledger.models import Books, LedgerView, OpenAnomaly, doubled
from incident_api.ledger.queries import LedgerQueries
from incident_api.outage import DependencyOutages, keep_doing

READ = 20_000  # open anomalies that are read one by one
LISTED = 100  # of each kind in an answer
WATCH_EVERY = 30.0  # seconds
WATCHED = timedelta(hours=24)  # older losses do not count in the metric
SLICE = timedelta(hours=1)  # of stored anomalies, for one query
PAUSE = 1.0  # seconds between two slices; after a start there are 24


@dataclass
class Auditor:
    """An anomaly without an end is lost *settle* after it was stored."""

    store: LedgerQueries
    broker: BrokerRecords
    settle: timedelta
    clock: Callable[[], datetime] = utc_now

    async def ledger(self, since: datetime) -> LedgerView:
        """The ledger from *since* up to now. Raises Unavailable without ClickHouse or NATS."""
        now = self.clock()
        books = await self.books(since, now)
        balance = books.balance()
        return LedgerView(
            since=since,
            until=now,
            settled_after_s=self.settle.total_seconds(),
            balanced=balance.holds,
            balance=balance,
            unaccounted=books.lost[:LISTED],
            doubled=doubled(books.doubled[:LISTED]),
            dead_letters=books.dead[:LISTED],
        )

    async def books(self, since: datetime, now: datetime) -> Books:
        """Both tables as they were at *now*: nothing changes sides while it is counted."""
        totals = await self.store.totals(since, now)
        found = await self.store.open(since, now, READ) if totals.open else ()
        dead = {one.anomaly_id: one for one in await self.broker.dead_anomalies(since)}
        lines = {one.tracking_id for one in found}
        lines |= {one.tracking_id for one in dead.values() if one.tracking_id}
        placed = {one.anomaly_id: one for one in await self.store.placed(lines)}
        twice = await self.store.doubled(since, now, READ) if totals.doubled else ()
        cut, settled = len(found) == READ, now - self.settle
        unread = sum((await self.unread(since, settled)).values())
        return Books(totals, found, placed, dead, twice, settled, cut, unread)

    async def unread(self, since: datetime, until: datetime) -> dict[datetime, int]:
        """By minute, anomalies that detection has published and of which nothing is stored."""
        tally = await self.broker.detected()
        counted = [minute for minute in tally if since <= minute <= until - MINUTE]
        if not counted:
            return {}
        known = await self.store.detected(min(counted), max(counted) + MINUTE)
        lacking = {minute: tally[minute] - known.get(minute, 0) for minute in counted}
        return {minute: number for minute, number in lacking.items() if number > 0}


class LossWatch:
    """Sets ``aiops_unaccounted_anomalies``, reading each stored anomaly about once."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._looked_until: datetime | None = None
        self._missing: dict[str, OpenAnomaly] = {}
        self._unread: dict[datetime, int] = {}

    async def keep_looking(self) -> None:
        """The background loop. While a look fails, the last number stands."""
        await asyncio.sleep(WATCH_EVERY)
        await keep_doing(
            lambda: self.look(PAUSE),
            WATCH_EVERY,
            DependencyOutages("clickhouse or nats").outage("anomalies are not accounted for"),
        )

    async def look(self, pause: float = 0.0) -> int:
        """Count anomalies of the last day that have settled nowhere.

        *pause* seconds pass between two slices.
        """
        now = self._auditor.clock()
        settled, horizon = now - self._auditor.settle, now - WATCHED
        since = max(self._looked_until or horizon, horizon)
        while since < settled:
            until = min(since + SLICE, settled)
            found = await self._auditor.store.open(since, until, READ)
            free = READ - len(self._missing)  # so many are enough to raise the alarm
            self._missing |= {one.anomaly_id: one for one in found[:free]}
            self._unread |= await self._auditor.unread(since - MINUTE, until)
            self._looked_until = since = until
            await asyncio.sleep(pause)
        self._missing = {k: one for k, one in self._missing.items() if one.seen_at >= horizon}
        await self._forget_found(horizon)
        await self._forget_read(horizon, settled)
        lost = len(self._missing) + sum(self._unread.values())
        metrics.UNACCOUNTED.set(lost)
        return lost

    async def _forget_read(self, horizon: datetime, settled: datetime) -> None:
        """A consumer that lags may still read them: look again for as long as a slice."""
        recent = [minute for minute in self._unread if minute > settled - SLICE]
        again = await self._auditor.unread(min(recent), settled) if recent else {}
        kept = {m: n for m, n in self._unread.items() if m not in recent and m >= horizon}
        self._unread = kept | {minute: again[minute] for minute in recent if minute in again}

    async def _forget_found(self, horizon: datetime) -> None:
        if not self._missing:
            return
        lines: Sequence[str] = [one.tracking_id for one in self._missing.values()]
        ended = {place.anomaly_id for place in await self._auditor.store.placed(lines)}
        ended |= {one.anomaly_id for one in await self._auditor.broker.dead_anomalies(horizon)}
        self._missing = {k: one for k, one in self._missing.items() if k not in ended}
