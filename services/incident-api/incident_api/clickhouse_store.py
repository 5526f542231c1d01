"""The incident store in ClickHouse. Values are always bound; the SQL is constant text."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeVar

from pydantic import TypeAdapter

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import Evidence, RootCause
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import read_all
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.reads import SqlQueries
from incident_api.rows import (
    Batch,
    EventRow,
    MemberRow,
    TableRow,
    micros,
    moment,
    sql_time,
    stored_incident,
)
from incident_api.store import IncidentFilter, IncidentSummary

T = TypeVar("T")

CONDITIONS = {
    "status": "status IN %(status)s",
    "severity": "severity IN %(severity)s",
    "category": "category = %(category)s",
    "ship_id": "ship_id = %(ship_id)s",
    "service": "has(affected_services, %(service)s)",
    "device_id": "arrayExists(x -> lowerUTF8(x) = lowerUTF8(%(device_id)s), affected_devices)",
    "tracking_id": (
        "id IN (SELECT incident_id FROM (SELECT incident_id, role FROM aiops.incident_members"
        " WHERE tracking_id = %(tracking_id)s ORDER BY version DESC, stored_at DESC"
        " LIMIT 1 BY anomaly_id, place) WHERE role != 'moved')"
    ),
    "since": f"last_seen >= {sql_time('since')}",
    "until": f"first_seen <= {sql_time('until')}",
    "q": (
        "positionCaseInsensitiveUTF8(concat(title, '\\n',"
        " arrayStringConcat(affected_devices, '\\n'), '\\n',"
        " arrayStringConcat(affected_services, '\\n'), '\\n', id), %(q)s) > 0"
    ),
}
AFTER = f"{sql_time('at')}, %(id)s"

INCIDENT = (
    "SELECT id, body, fold FROM aiops.incidents WHERE id = %(id)s ORDER BY version DESC LIMIT 1"
)
# The inner query finds the newest versions by small columns, and only their bodies are read.
NEWEST_OPEN = (
    "SELECT id, body, fold FROM aiops.incidents WHERE (id, version) IN ("
    "SELECT id, version FROM aiops.incidents FINAL WHERE status IN ('open', 'ack')"
    " ORDER BY updated_at DESC, id DESC LIMIT %(most)s)"
    " ORDER BY updated_at DESC, id DESC LIMIT 1 BY id"
)
TIMES = ("first_seen", "last_seen", "created_at", "updated_at")
COLUMNS = {name: name for name in IncidentSummary.model_fields} | {
    name: f"toUnixTimestamp64Micro({name})" for name in TIMES
}
BY_CREATION = itemgetter(*map(list(COLUMNS).index, ("created_at", "id")))
EVENT = TypeAdapter(EventRow)
SELECTED = ", ".join(COLUMNS.values())
PAGE = (
    "SELECT {columns} FROM aiops.incidents FINAL WHERE {conditions}"
    " ORDER BY created_at DESC, id DESC LIMIT %(most)s"
)
# Of a member that is stored twice the newest row counts.
MEMBERS = (
    "SELECT tracking_id, anomaly_id, ts, role, {body} FROM aiops.incident_members"
    " WHERE incident_id = %(incident_id)s AND {after}"
    " ORDER BY ts DESC, anomaly_id DESC, version DESC, stored_at DESC LIMIT 1 BY anomaly_id"
)
TRACKING_IDS = (
    "SELECT tracking_id FROM (SELECT tracking_id, max(ts) AS at FROM ("
    + MEMBERS.format(body="''", after="1")
    + ") WHERE role != 'moved' GROUP BY tracking_id ORDER BY at DESC, tracking_id DESC"
    " LIMIT %(most)s) ORDER BY at, tracking_id"
)
EVIDENCE = (
    "SELECT toUnixTimestamp64Micro(ts), anomaly_id, body FROM ("
    + MEMBERS.replace("{body}", "body")
    + ") WHERE role != 'moved' ORDER BY ts DESC, anomaly_id DESC LIMIT %(most)s"
)
TIMELINE = (
    "SELECT event_id, incident_id, toUnixTimestamp64Micro(ts), kind, actor, text, body"
    " FROM aiops.incident_events FINAL WHERE incident_id = %(incident_id)s AND {after}"
    " ORDER BY ts, event_id LIMIT %(most)s"
)


class ClickHouseStore:
    """``IncidentStore`` over the tables of ``clickhouse/0001_init.sql``.

    *reads* limits how long a query may take. Members and events are read through *whole*, which
    writes waiting rows first.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        reads: SqlQueries | None = None,
        whole: SqlQueries | None = None,
    ) -> None:
        self._clickhouse = clickhouse
        self._reads = reads or clickhouse
        self._whole = whole or self._reads

    async def write(self, batch: Batch) -> None:
        """All tables at once: writing is idempotent, so it needs no order."""
        outcomes = await asyncio.gather(
            *(
                self._clickhouse.insert(
                    f"aiops.{name}",
                    table.rows[0]._fields,
                    _dated(table.rows),
                    token=f"{batch.token}-{name}",
                )
                for name, table in batch.tables().items()
            ),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def incident(self, incident_id: str) -> StoredIncident | None:
        rows = await self._reads.query(INCIDENT, {"id": incident_id})
        return next(iter(_incidents(rows)), None)

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        rows = await self._reads.query(NEWEST_OPEN, {"most": most})
        return _incidents(rows)

    async def page(
        self, where: IncidentFilter, after: PagePosition | None, most: int
    ) -> Sequence[IncidentSummary]:
        fetch = partial(self._page_rows, where)
        return await _filled(fetch, after, most, "incident_list", _summary, BY_CREATION)

    async def _page_rows(
        self, where: IncidentFilter, after: PagePosition | None, most: int
    ) -> list[Row]:
        wanted = _parameters(where)
        conditions = [CONDITIONS[name] for name in wanted]
        if after:
            conditions.append(f"(created_at, id) < ({AFTER})")
            wanted |= after._asdict()
        sql = PAGE.format(columns=SELECTED, conditions=" AND ".join(conditions) or "1")
        reader = self._whole if where.tracking_id else self._reads
        return await reader.query(sql, wanted | {"most": most})

    async def tracking_ids(self, incident_id: str, most: int) -> Sequence[str]:
        rows = await self._whole.query(TRACKING_IDS, {"incident_id": incident_id, "most": most})
        return [str(row[0]) for row in rows]

    async def evidence(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[Evidence]:
        fetch = partial(self._rows_of, EVIDENCE, "(ts, anomaly_id) <", incident_id)
        return await _filled(fetch, after, most, "evidence", _evidence, itemgetter(0, 1))

    async def timeline(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[EventRow]:
        fetch = partial(self._rows_of, TIMELINE, "(ts, event_id) >", incident_id)
        return await _filled(fetch, after, most, "timeline", _event, itemgetter(2, 0))

    async def _rows_of(
        self, sql: str, beyond: str, incident_id: str, after: PagePosition | None, most: int
    ) -> list[Row]:
        """*beyond* is the comparison that leaves out the rows up to *after*."""
        place = after._asdict() if after else {}
        return await self._whole.query(
            sql.format(after=f"{beyond} ({AFTER})" if after else "1"),
            {"incident_id": incident_id, "most": most} | place,
        )


def _summary(row: Row) -> IncidentSummary:
    columns = dict(zip(COLUMNS, row, strict=True))
    columns |= {name: moment(columns[name]) for name in TIMES}
    columns |= {name: columns[name] or None for name in ("resolve_reason", "assignee")}
    cause = columns["root_cause"]
    columns["root_cause"] = RootCause.model_validate_json(cause) if cause else None
    return IncidentSummary.model_validate(columns)


def _event(row: Row) -> EventRow:
    return EVENT.validate_python(row)


def _evidence(row: Row) -> Evidence:
    return Evidence.model_validate_json(row[-1])


async def _filled(
    fetch: Callable[[PagePosition | None, int], Awaitable[list[Row]]],
    after: PagePosition | None,
    most: int,
    where: str,
    read: Callable[[Row], T],
    place: Callable[[Row], tuple[int, str]],
) -> list[T]:
    """*most* entries from *after* on; *place* is the position of a row. More rows are fetched in
    place of unreadable ones, because a page that is not full is the last."""
    found: list[T] = []
    while (wanted := most - len(found)) > 0:
        rows = await fetch(after, wanted)
        found += read_all(rows, f"incident-api.{where}", read, name=lambda row: place(row)[1])
        if len(rows) < wanted:
            break
        after = PagePosition(*place(rows[-1]))
    return found


def _incidents(rows: Sequence[Row]) -> list[StoredIncident]:
    def read(row: Row) -> StoredIncident:
        return stored_incident(*row[1:])

    return read_all(rows, "incident-api.incidents", read, name=itemgetter(0))


def _dated(rows: Sequence[TableRow]) -> Sequence[TableRow]:
    """Members that were not shown before are shown from now on."""
    now = micros(utc_now())
    return [
        row._replace(stored_at=now) if isinstance(row, MemberRow) and not row.stored_at else row
        for row in rows
    ]


def _parameters(where: IncidentFilter) -> dict[str, object]:
    """The fields that restrict something, as the driver can bind them."""
    texts = ("category", "ship_id", "service", "device_id", "tracking_id", "q")
    wanted: dict[str, object] = {n: getattr(where, n) for n in texts if getattr(where, n)}
    for name in ("status", "severity"):
        if values := getattr(where, name):
            wanted[name] = tuple(value.value for value in values)
    for name in ("since", "until"):
        if at := getattr(where, name):
            wanted[name] = micros(at)
    return wanted
