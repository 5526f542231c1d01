"""Draws up the ledger: of a span on request, and all the time for the metric that alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.observability import metrics
from aiops_core.observability.tally import MINUTE
from aiops_core.runtime.service import utc_now
from incident_api.ledger.balance import Books, doubled, unaccounted
from incident_api.ledger.endings import OpenAnomaly
from incident_api.ledger.letters import Letters
from incident_api.ledger.models import Ledger
from incident_api.ledger.published import Published
from incident_api.ledger.queries import LedgerStore
from incident_api.outage import DependencyOutages, keep_doing

READ = 20_000  # open anomalies that are looked at one by one
LISTED = 100  # of each kind in an answer
WATCH_EVERY = 30.0  # seconds
WATCHED = timedelta(hours=24)  # what was lost earlier no longer counts in the metric
SLICE = timedelta(hours=1)  # of stored anomalies, looked through in one query
PAUSE = 1.0  # seconds between two slices: after a start a day is looked through beside all else


@dataclass
class Auditor:
    """*settle*: an anomaly that has no end after so long is lost."""

    store: LedgerStore
    letters: Letters
    published: Published
    settle: timedelta
    clock: Callable[[], datetime] = utc_now

    async def ledger(self, since: datetime) -> Ledger:
        """The ledger from *since* up to now. Raises Unavailable without ClickHouse or NATS."""
        now = self.clock()
        books = await self.books(since, now)
        balance = books.balance()
        return Ledger(
            since=since,
            until=now,
            settled_after_s=self.settle.total_seconds(),
            balanced=balance.holds,
            balance=balance,
            unaccounted=unaccounted(books.lost[:LISTED]),
            doubled=doubled(books.doubled[:LISTED]),
            dead_letters=books.dead[:LISTED],
        )

    async def books(self, since: datetime, now: datetime) -> Books:
        """Both tables as they were at *now*, so that nothing changes sides while it is counted."""
        totals = await self.store.totals(since, now)
        found = await self.store.open(since, now, READ) if totals.open else ()
        buried = {one.anomaly_id: one for one in await self.letters.buried(since)}
        lines = {one.tracking_id for one in found}
        lines |= {one.tracking_id for one in buried.values() if one.tracking_id}
        placed = {one.anomaly_id: one for one in await self.store.placed(lines)}
        twice = await self.store.doubled(since, now, READ) if totals.doubled else ()
        cut, settled = len(found) == READ, now - self.settle
        unread = sum((await self.unread(since, settled)).values())
        return Books(totals, found, placed, buried, twice, settled, cut, unread)

    async def unread(self, since: datetime, until: datetime) -> dict[datetime, int]:
        """Anomalies that detection published in whole minutes of the span and of which nothing is stored."""
        tally = await self.published.tally()
        counted = [minute for minute in tally if since <= minute <= until - MINUTE]
        if not counted:
            return {}
        known = await self.store.detected(min(counted), max(counted) + MINUTE)
        lacking = {minute: tally[minute] - known.get(minute, 0) for minute in counted}
        return {minute: number for minute, number in lacking.items() if number > 0}


class Watch:
    """Keeps ``aiops_unaccounted_anomalies`` true, looking at each stored anomaly about once."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._looked_until: datetime | None = None
        self._missing: dict[str, OpenAnomaly] = {}
        self._unread: dict[datetime, int] = {}

    async def keep_looking(self) -> None:
        """While it cannot look, the last number stands."""
        await asyncio.sleep(WATCH_EVERY)
        await keep_doing(
            lambda: self.look(PAUSE),
            lambda: asyncio.sleep(WATCH_EVERY),
            DependencyOutages("clickhouse or nats").outage("anomalies are not accounted for"),
        )

    async def look(self, pause: float = 0.0) -> int:
        """How many anomalies of the last day have settled nowhere; *pause* seconds pass between slices."""
        now = self._auditor.clock()
        settled, horizon = now - self._auditor.settle, now - WATCHED
        since = max(self._looked_until or horizon, horizon)
        while since < settled:
            until = min(since + SLICE, settled)
            found = await self._auditor.store.open(since, until, READ)
            room = READ - len(self._missing)  # so many lost are enough to raise the alarm
            self._missing |= {one.anomaly_id: one for one in found[:room]}
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
        """Who lags behind may still store what nobody had read: look again for as long as a slice."""
        recent = [minute for minute in self._unread if minute > settled - SLICE]
        again = await self._auditor.unread(min(recent), settled) if recent else {}
        kept = {m: n for m, n in self._unread.items() if m not in recent and m >= horizon}
        self._unread = kept | {minute: again[minute] for minute in recent if minute in again}

    async def _forget_found(self, horizon: datetime) -> None:
        if not self._missing:
            return
        lines: Sequence[str] = [one.tracking_id for one in self._missing.values()]
        ended = {place.anomaly_id for place in await self._auditor.store.placed(lines)}
        ended |= {one.anomaly_id for one in await self._auditor.letters.buried(horizon)}
        self._missing = {k: one for k, one in self._missing.items() if k not in ended}
