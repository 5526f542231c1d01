"""Where anomalies ended, counted in ClickHouse.

It counts 16-byte hashes of the ids: a second for a million anomalies. Only those that ended nowhere
are read as rows.
"""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from aiops_core.adapters.clickhouse import Row
from incident_api.ledger.models import OpenAnomaly, Place, Totals
from incident_api.reads import SqlQueries
from incident_api.rows import DIGESTED, micros, moment, sql_time, stages_of

BEFORE = timedelta(minutes=5)  # an end may be stored so much earlier than the anomaly itself
CHUNK = 2000  # ids in one query, whose text may have 256 KiB


SPAN = f"stored_at >= {sql_time('since')} AND stored_at < {sql_time('until')}"
ENDED = f"stored_at >= {sql_time('ended')}"
# An incident that was merged into another has passed its members on.
MERGED = "SELECT id FROM aiops.incidents FINAL WHERE startsWith(resolve_reason, 'merged')"
# Lines that are sent again may be digested then, though they are in an incident: that end stands.
TOTALS = (
    "SELECT countIf(ending = 1), countIf(ending = 2), countIf(ending = 3),"
    " countIf(ending = 0 AND NOT digested), countIf(first != last),"
    " countIf(ending = 0 AND digested) FROM ("
    " SELECT argMaxIf(code, told, code BETWEEN 1 AND 3) AS ending, max(code = 4) AS digested,"
    " minIf(place, code BETWEEN 1 AND 3) AS first, maxIf(place, code BETWEEN 1 AND 3) AS last"
    " FROM ("
    " SELECT sipHash128(anomaly_id) AS id, 0 AS code, toUInt64(0) AS place, toUInt64(0) AS told"
    f" FROM aiops.anomalies WHERE {SPAN}"
    " UNION ALL SELECT sipHash128(anomaly_id),"
    " multiIf(role = 'member', 1, role = 'duplicate', 2, role = 'moved', 0, 3),"
    f" sipHash64(place), version FROM aiops.incident_members WHERE {SPAN}"
    " UNION ALL SELECT sipHash128(anomaly_id), 4, 0, 0"
    f" FROM aiops.anomalies_digested WHERE {SPAN}"
    ") GROUP BY id)"
)
OPEN = (
    "SELECT anomaly_id, any(tracking_id), any(device_id), any(service), any(anomaly_type),"
    " toUnixTimestamp64Micro(min(stored_at)),"
    " mapApply((k, v) -> (k, toUnixTimestamp64Micro(v)), argMax(stages, version))"
    f" FROM aiops.anomalies WHERE {SPAN} AND sipHash128(anomaly_id) NOT IN"
    f" (SELECT sipHash128(anomaly_id) FROM aiops.incident_members WHERE {ENDED})"
    " GROUP BY anomaly_id ORDER BY min(stored_at), anomaly_id LIMIT %(most)s"
)
PLACED = (
    "SELECT anomaly_id, any(tracking_id), argMax(role, version), groupUniqArray(place)"
    " FROM (SELECT anomaly_id, tracking_id, toString(role) AS role, version, place"
    " FROM aiops.incident_members WHERE tracking_id IN %(ids)s AND role != 'moved'"
    f" UNION ALL SELECT anomaly_id, tracking_id, '{DIGESTED}', 0, '{DIGESTED}'"
    " FROM aiops.anomalies_digested WHERE tracking_id IN %(ids)s) GROUP BY anomaly_id"
)
DOUBLED = (
    "SELECT anomaly_id, any(tracking_id), argMax(role, version), groupUniqArray(place) AS places"
    " FROM (SELECT anomaly_id, tracking_id, role, version, place"
    " FROM aiops.incident_members FINAL WHERE role != 'moved'"
    " AND tracking_id IN (SELECT tracking_id"
    f" FROM aiops.incident_members WHERE {SPAN} GROUP BY tracking_id, anomaly_id"
    f" HAVING min(place) != max(place)) AND incident_id NOT IN ({MERGED}))"
    " GROUP BY anomaly_id HAVING length(places) > 1 ORDER BY anomaly_id LIMIT %(most)s"
)

_STAGE = f"stages['detect'] >= {sql_time('since')} AND stages['detect'] < {sql_time('until')}"
DETECTED = (
    "SELECT toUnixTimestamp(toStartOfMinute(at)), uniqExact(id) FROM ("
    " SELECT sipHash128(anomaly_id) AS id, stages['detect'] AS at FROM aiops.anomalies"
    f" WHERE {ENDED} AND {_STAGE}"
    " UNION ALL SELECT sipHash128(anomaly_id), stages['detect'] FROM aiops.incident_members"
    f" WHERE {ENDED} AND {_STAGE}"
    " UNION ALL SELECT sipHash128(anomaly_id), stages['detect'] FROM aiops.anomalies_digested"
    f" WHERE {ENDED} AND {_STAGE}"
    ") GROUP BY 1"
)


class LedgerQueries:
    """A span is of the time at which rows were stored: from *since* on and before *until*."""

    def __init__(self, clickhouse: SqlQueries) -> None:
        self._clickhouse = clickhouse

    async def totals(self, since: datetime, until: datetime) -> Totals:
        rows = await self._clickhouse.query(TOTALS, _span(since, until))
        return Totals._make(rows[0])

    async def open(self, since: datetime, until: datetime, most: int) -> Sequence[OpenAnomaly]:
        """Anomalies stored in the span without a stored end, the oldest first."""
        bound = _span(since, until) | {"most": most, "ended": micros(since - BEFORE)}
        rows = await self._clickhouse.query(OPEN, bound)
        return [_open(row) for row in rows]

    async def placed(self, tracking_ids: Collection[str]) -> Sequence[Place]:
        """Where anomalies of these lines ended, at any time."""
        found: list[Place] = []
        for ids in _chunks(tracking_ids):
            rows = await self._clickhouse.query(PLACED, {"ids": ids})
            found += [Place._make(row) for row in rows]
        return found

    async def doubled(self, since: datetime, until: datetime, most: int) -> Sequence[Place]:
        """Anomalies with two places, at least one of them stored in the span."""
        rows = await self._clickhouse.query(DOUBLED, _span(since, until) | {"most": most})
        return [Place._make(row) for row in rows]

    async def detected(self, since: datetime, until: datetime) -> Mapping[datetime, int]:
        """Anomalies of which anything is stored, by the minute of their stage ``detect``."""
        bound = _span(since, until) | {"ended": micros(since - BEFORE)}
        rows = await self._clickhouse.query(DETECTED, bound)
        return {datetime.fromtimestamp(minute, UTC): count for minute, count in rows}


def _open(row: Row) -> OpenAnomaly:
    anomaly_id, tracking_id, device_id, service, anomaly_type, seen_at, stages = row
    return OpenAnomaly(
        anomaly_id=anomaly_id,
        tracking_id=tracking_id,
        device_id=device_id,
        service=service,
        anomaly_type=anomaly_type,
        seen_at=moment(seen_at),
        stages=stages_of(stages),
    )


def _span(since: datetime, until: datetime) -> dict[str, object]:
    return {"since": micros(since), "until": micros(until)}


def _chunks(ids: Collection[str]) -> Iterator[tuple[str, ...]]:
    ordered = sorted(set(ids))
    for n in range(0, len(ordered), CHUNK):
        yield tuple(ordered[n : n + CHUNK])
