"""Where every anomaly ended, by the published facts and by the tables of ClickHouse."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import FAST_PATH, AnomalySuppressed, Incident, IncidentUpdated, Message
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.unreadable import read_stored

PATH = ("ingest", *FAST_PATH)


@dataclass(frozen=True)
class Placements:
    """Tracking id -> the incidents (or the suppression) that it became part of."""

    places: Mapping[str, Collection[str]]

    def lost(self, anomalous: Collection[str]) -> list[str]:
        return [t for t in anomalous if not self.places.get(t)]

    def doubled(self, anomalous: Collection[str]) -> list[str]:
        return [t for t in anomalous if len(self.places.get(t, ())) > 1]


async def published(bus: Bus, since: datetime | None = None) -> Placements:
    """By the facts in the streams; an anomaly that moved is in its last incident only."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    kinds = (Incident, IncidentUpdated, AnomalySuppressed)
    async for stored in bus.history([kind.subject for kind in kinds], since=since):
        fact = read_stored(stored, "bench.facts")
        for tracking_id, incident, before in _memberships(fact):
            if before in places[tracking_id]:
                places[tracking_id].remove(before)
            places[tracking_id].append(incident)
    return Placements(places)


def _memberships(fact: Message | None) -> list[tuple[str, str, str | None]]:
    """Tracking id, where it is now, and where it was before."""
    match fact:
        case Incident():
            return [(m.tracking_id, fact.id, m.moved_from) for m in fact.evidence]
        case IncidentUpdated():
            return [(m.tracking_id, fact.incident_id, m.moved_from) for m in fact.members]
        case AnomalySuppressed():
            return [(fact.tracking_id, f"suppressed by {fact.by}", None)]
    return []


async def stored(store: ClickHouse, ship_id: str, since: datetime) -> Placements:
    """By the table ``aiops.incident_members``."""
    rows = await store.query(
        "SELECT tracking_id, groupUniqArray(incident_id) FROM aiops.incident_members FINAL "
        "WHERE role != 'moved' AND ship_id = %(ship)s "
        "AND stored_at >= fromUnixTimestamp64Micro(%(since)s) GROUP BY tracking_id",
        {"ship": ship_id, "since": _micros(since)},
    )
    return Placements(dict(rows))


def _micros(at: datetime) -> int:
    """The driver writes a datetime without its fraction of a second."""
    return round(at.timestamp() * 1_000_000)


async def settled(
    store: ClickHouse, ship_id: str, since: datetime, anomalous: Collection[str], within: float
) -> Placements:
    """``stored`` as soon as it has all *anomalous*, or after *within* seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        placements = await stored(store, ship_id, since)
        if not placements.lost(anomalous) or asyncio.get_running_loop().time() > deadline:
            return placements
        await asyncio.sleep(0.25)


async def stage_times(
    store: ClickHouse, ship_id: str, since: datetime
) -> list[tuple[datetime, ...]]:
    """Of every stored anomaly, the times of ``ingest`` and of the four stages of the fast path.

    ``store`` is the time from which incident-api answers with it (decision 15), not that of the
    insert into ClickHouse. Of an anomaly that moved only the first row has a time of ingest.
    """
    columns = ", ".join([*(f"stages['{stage}']" for stage in PATH[:-1]), "stored_at"])
    return await store.query(
        f"SELECT {columns} FROM aiops.incident_members "  # noqa: S608 - constants of this module
        "WHERE ship_id = %(ship)s AND stored_at >= fromUnixTimestamp64Micro(%(since)s) "
        "AND mapContains(stages, 'ingest') ORDER BY stored_at LIMIT 1 BY tracking_id",
        {"ship": ship_id, "since": _micros(since)},
    )
