"""Where every anomaly ended, by the tables of ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import FAST_PATH

PATH = ("ingest", *FAST_PATH)


Places = Mapping[str, Collection[str]]
"""Tracking id -> the incidents (the suppression, the digest) that it became part of."""


def lost(places: Places, anomalous: Collection[str]) -> list[str]:
    return [t for t in anomalous if not places.get(t)]


def doubled(places: Places, anomalous: Collection[str]) -> list[str]:
    return [t for t in anomalous if len(places.get(t, ())) > 1]


async def stored(store: ClickHouse, ship_id: str, since: datetime) -> Places:
    """By the tables ``aiops.incident_members`` and ``aiops.anomalies_digested``."""
    rows = await store.query(
        "SELECT tracking_id, groupUniqArray(place) FROM ("
        "SELECT tracking_id, incident_id AS place FROM aiops.incident_members FINAL "
        "WHERE role != 'moved' AND ship_id = %(ship)s "
        "AND stored_at >= fromUnixTimestamp64Micro(%(since)s) "
        "UNION ALL SELECT tracking_id, 'digested' FROM aiops.anomalies_digested "
        "WHERE ship_id = %(ship)s AND stored_at >= fromUnixTimestamp64Micro(%(since)s)"
        ") GROUP BY tracking_id",
        {"ship": ship_id, "since": _micros(since)},
    )
    return dict(rows)


def _micros(at: datetime) -> int:
    """The driver writes a datetime without its fraction of a second."""
    return round(at.timestamp() * 1_000_000)


async def settled(
    store: ClickHouse, ship_id: str, since: datetime, anomalous: Collection[str], within: float
) -> Places:
    """``stored`` as soon as it has all *anomalous*, or after *within* seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        places = await stored(store, ship_id, since)
        if not lost(places, anomalous) or asyncio.get_running_loop().time() > deadline:
            return places
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
