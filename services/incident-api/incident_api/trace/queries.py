"""Rows of one tracking id, from ClickHouse and from rows that wait to be written."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter

from pydantic import JsonValue, TypeAdapter

from aiops_core.adapters.clickhouse import Row
from aiops_core.runtime.unreadable import read_all
from incident_api.reads import SqlQueries
from incident_api.rows import STAGES, AnomalyRow, DigestedRow, moment, stages_of
from incident_api.trace.models import (
    DigestedFinding,
    Traced,
    TracedAnomaly,
    TracedDigest,
    TracedLogLine,
    TracedMember,
)

Pending = Callable[[str], Sequence[AnomalyRow | DigestedRow]]
HISTORY_LAG = (0.05, 0.1, 0.2)  # seconds between tries: history may be behind the recorder
JSON: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


LOG = (
    "SELECT toUnixTimestamp64Micro(ts), toUnixTimestamp64Micro(ingestion_timestamp), ship_id, host,"
    " device_id, service, level, msg, source, labels, raw"
    " FROM logs.raw WHERE tracking_id = %(id)s LIMIT 1"
)
ANOMALIES = (
    f"SELECT anomaly_id, version, {STAGES}, body"
    " FROM aiops.anomalies WHERE tracking_id = %(id)s ORDER BY version DESC LIMIT 1 BY anomaly_id"
)
MEMBERS = (
    "SELECT anomaly_id, incident_id, role, rule, reason, stages, stored_at, kind, source FROM ("
    "SELECT anomaly_id, incident_id, role, rule, reason,"
    f" {STAGES} AS stages,"
    " toUnixTimestamp64Micro(stored_at) AS stored_at,"
    " JSONExtractString(body, 'kind') AS kind, JSONExtractString(body, 'source') AS source"
    " FROM aiops.incident_members WHERE tracking_id = %(id)s"
    " ORDER BY version DESC, stored_at DESC LIMIT 1 BY anomaly_id, place) WHERE role != 'moved'"
)
DIGESTED = (
    "SELECT anomaly_id, anomaly_type, detector, severity, template, reason,"
    f" {STAGES} AS passed, toUnixTimestamp64Micro(stored_at)"
    " FROM aiops.anomalies_digested WHERE tracking_id = %(id)s"
    " ORDER BY stored_at, anomaly_id LIMIT 1 BY anomaly_id"
)


class TraceQueries:
    """*pending* gives the anomalies of a line that history has not written yet."""

    def __init__(self, clickhouse: SqlQueries, pending: Pending = lambda tracking_id: ()) -> None:
        self._clickhouse, self._pending = clickhouse, pending

    async def traced(self, tracking_id: str) -> Traced:
        bound = {"id": tracking_id}
        members = await self._clickhouse.query(MEMBERS, bound)
        anomalies = await self._anomalies(tracking_id, {str(row[0]) for row in members})
        digested = await self._digested(tracking_id)
        logs = await self._clickhouse.query(LOG, bound)
        return Traced(
            log=next(
                iter(read_all(logs, "incident-api.log_lines", _line, name=itemgetter(2))), None
            ),
            anomalies=anomalies,
            members=[
                TracedMember._make((*row[:5], stages_of(row[5]), moment(row[6]), *row[7:]))
                for row in members
            ],
            digested=digested,
        )

    async def _digested(self, tracking_id: str) -> list[DigestedFinding]:
        waiting = [row for row in self._pending(tracking_id) if isinstance(row, DigestedRow)]
        stored = await self._clickhouse.query(DIGESTED, {"id": tracking_id})
        found = {row.anomaly_id: _digest(_digest_columns(row)) for row in waiting}
        read = read_all(stored, "incident-api.digested", _digest, name=itemgetter(0))
        return list((found | {one.view.anomaly_id: one for one in read}).values())

    async def _anomalies(self, tracking_id: str, ended: Collection[str]) -> list[TracedAnomaly]:
        """Those of the line. *ended* have passed all services: history gets them any moment.

        Waiting rows are read before stored ones, because rows only move from waiting to stored.
        """
        for pause in (*HISTORY_LAG, None):
            pending = self._pending(tracking_id)
            waiting = [_traced_columns(row) for row in pending if isinstance(row, AnomalyRow)]
            stored = await self._clickhouse.query(ANOMALIES, {"id": tracking_id})
            found = _newest([*stored, *waiting])
            if pause is None or {anomaly.anomaly_id for anomaly in found}.issuperset(ended):
                break
            await asyncio.sleep(pause)
        return found


def _traced_columns(row: AnomalyRow) -> tuple[str, int, dict[str, int], str]:
    return row.anomaly_id, row.version, row.stages, row.body


def _digest_columns(row: DigestedRow) -> Row:
    return (*(getattr(row, name) for name in TracedDigest.model_fields), row.stages, None)


def _digest(row: Row) -> DigestedFinding:
    *columns, passed, stored_at = row
    view = TracedDigest(**dict(zip(TracedDigest.model_fields, columns, strict=True)))
    return DigestedFinding(view, stages_of(passed), moment(stored_at) if stored_at else None)


def _newest(rows: Sequence[Row]) -> list[TracedAnomaly]:
    newest = {row[0]: row for row in sorted(rows, key=lambda row: row[1])}
    return read_all(newest.values(), "incident-api.trace", _anomaly, name=itemgetter(0))


def _anomaly(row: Row) -> TracedAnomaly:
    anomaly_id, version, stages, body = row
    return TracedAnomaly(anomaly_id, version, stages_of(stages), JSON.validate_json(body))


def _line(row: Row) -> TracedLogLine:
    values = dict(zip(TracedLogLine.model_fields, row, strict=True))
    at = {name: moment(values[name]) for name in ("ts", "ingestion_timestamp")}
    return TracedLogLine.model_validate(values | at)
