"""Queries for earlier anomalies and incidents. Times are bound in microseconds.

Limits apply to the arrival of a row (``stored_at``) and not to the time of the event: an imported
old log counts like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import LastIncident, SimilarAnomaly
from aiops_core.runtime.unreadable import read_all
from enrichment_service.context import INCIDENTS_KEPT
from enrichment_service.past import EACH_KEPT, FINGERPRINTS_KEPT, MSG_KEPT

MINUTES_MOST = 500_000  # rows of history, newest first

NEWEST = """
SELECT max(stages['detect']) FROM aiops.anomalies
WHERE stored_at >= fromUnixTimestamp64Micro(%(since)s)
"""
HISTORY = """
SELECT ship_id, device_id, anomaly_type, service,
       toUInt32(intDiv(toUnixTimestamp(ts), 60)) AS minute, count() AS n
FROM aiops.anomalies FINAL
WHERE stored_at >= fromUnixTimestamp64Micro(%(since)s) AND mapContains(stages, 'detect')
  AND stages['detect'] < fromUnixTimestamp64Micro(%(cutoff)s)
GROUP BY ship_id, device_id, anomaly_type, service, minute
ORDER BY minute DESC LIMIT %(most)s
"""
SIMILAR = """
SELECT fingerprint, anomaly_id, ts, severity, substringUTF8(msg, 1, %(msg)s)
FROM aiops.anomalies FINAL WHERE stored_at >= fromUnixTimestamp64Micro(%(since)s)
ORDER BY ts DESC LIMIT %(each)s BY fingerprint LIMIT %(most)s
"""
MEMBERSHIPS = """
SELECT fingerprint, anomaly_id, incident_id
FROM aiops.incident_members
WHERE stored_at >= fromUnixTimestamp64Micro(%(since)s) AND incident_id != '' AND role != 'moved'
ORDER BY ts DESC LIMIT %(each)s BY fingerprint LIMIT %(most)s
"""
INCIDENTS = """
SELECT ship_id, affected_devices, affected_services, id, title, severity, status, last_seen,
       resolve_reason
FROM aiops.incidents FINAL WHERE stored_at >= fromUnixTimestamp64Micro(%(since)s)
ORDER BY last_seen DESC LIMIT %(most)s
"""


class PastIncident(NamedTuple):
    ship: str
    devices: Sequence[str]
    services: Sequence[str]
    incident: LastIncident


class ContextQueries:
    """All raise Unavailable without ClickHouse, QueryFailed while a table does not exist."""

    def __init__(self, store: ClickHouse) -> None:
        self._store = store

    async def newest(self, since: datetime) -> datetime | None:
        """The stage time ``detect`` of the last anomaly stored from *since* on, if any."""
        rows = await self._store.query(NEWEST, {"since": _micros(since)})
        newest = _utc(rows[0][0])
        return newest if newest.timestamp() > 0 else None

    async def history(self, since: datetime, cutoff: datetime) -> list[Row]:
        """Ship, device, type, service, minute since 1970 and number, newest minute first.

        Of the anomalies stored from *since* on and detected before *cutoff*.
        """
        bound = {"since": _micros(since), "cutoff": _micros(cutoff), "most": MINUTES_MOST}
        return await self._store.query(HISTORY, bound)

    async def similar(self, since: datetime) -> list[tuple[str, SimilarAnomaly]]:
        """The newest of each fingerprint from *since* on, newest first."""
        bound = _newest_of_each(since) | {"msg": MSG_KEPT}
        rows = await self._store.query(SIMILAR, bound)
        return read_all(rows, "enrichment.similar", _similar, name=itemgetter(1))

    async def memberships(self, since: datetime) -> list[Row]:
        """Fingerprint, anomaly id and incident id of members stored from *since* on."""
        return await self._store.query(MEMBERSHIPS, _newest_of_each(since))

    async def incidents(self, since: datetime) -> list[PastIncident]:
        """Incidents that were stored from *since* on, changed ones too, oldest first."""
        bound = {"since": _micros(since), "most": INCIDENTS_KEPT}
        rows = await self._store.query(INCIDENTS, bound)
        return read_all(reversed(rows), "enrichment.incidents", _incident, name=itemgetter(3))


def _similar(row: Row) -> tuple[str, SimilarAnomaly]:
    fingerprint, anomaly_id, ts, severity, msg = row
    similar = SimilarAnomaly(anomaly_id=anomaly_id, ts=_utc(ts), severity=severity, msg=msg)
    return fingerprint, similar


def _incident(row: Row) -> PastIncident:
    ship, devices, services, id, title, severity, status, last_seen, resolved = row
    incident = LastIncident(
        id=id,
        title=title,
        severity=severity,
        status=status,
        last_seen=_utc(last_seen),
        resolve_reason=resolved or None,
    )
    return PastIncident(ship, devices, services, incident)


def _newest_of_each(since: datetime) -> dict[str, object]:
    most = EACH_KEPT * FINGERPRINTS_KEPT
    return {"since": _micros(since), "each": EACH_KEPT, "most": most}


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def _utc(at: Any) -> datetime:
    """Naive times of the driver are UTC."""
    moment: datetime = at
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
