"""The incident store in ClickHouse. Values are always bound; the SQL is constant text."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeVar

from pydantic import TypeAdapter

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import Evidence, ProblemEdited, RootCause
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import read_all
from aiops_core.standing import MERGED
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.reads import SqlQueries
from incident_api.rows import (
    OCCURRENCES,
    Batch,
    EventRow,
    MemberRow,
    TableRow,
    micros,
    moment,
    sql_time,
    stored_incident,
)
from incident_api.store import AS_NAMED, IncidentFilter, IncidentSummary, Order

T = TypeVar("T")

# The problem of a row, as persons have merged and split them; ``problem_homes`` has its parameters.
HOME = (
    "transform(concat(problem_id, ' ', {incident}), %(split_of)s, %(split_to)s,"
    " transform(problem_id, %(merged_of)s, %(merged_to)s, problem_id))"
)
HOME_OF_INCIDENT = HOME.format(incident="id")
MERGED_AWAY = f"startsWith(resolve_reason, '{MERGED}')"
SPREAD = f"if({MERGED_AWAY}, '', spread)"
ROOT = "JSONExtractString(root_cause, 'device')"
PLACE = f"if({ROOT} != '', {ROOT}, affected_devices[1])"  # '' without any
NEWEST = "(last_seen, id)"
# On how many devices each spread is: a problem counts in that of its newest incident.
WIDTHS = (
    "SELECT newest_spread, uniqExact(newest_place) AS wide FROM ("
    f"SELECT {HOME_OF_INCIDENT} AS problem, argMax({SPREAD}, {NEWEST}) AS newest_spread,"
    f" argMax({PLACE}, {NEWEST}) AS newest_place FROM aiops.incidents FINAL"
    " WHERE problem_id != '' AND {which} GROUP BY problem"
    ") WHERE newest_spread != '' GROUP BY newest_spread"
)
IN_SPREADS = (  # of problems that have been in these
    f"{HOME_OF_INCIDENT} IN (SELECT {HOME_OF_INCIDENT} FROM aiops.incidents"
    " WHERE spread IN {spreads})"
)
SPREADS = (
    WIDTHS.format(which=IN_SPREADS.format(spreads="%(named)s"))
    + " HAVING newest_spread IN %(named)s AND wide >= %(least)s"
)
QUIET = "quiet_since IS NOT NULL AND status IN ('open', 'ack')"
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
    "problem_id": f"{HOME_OF_INCIDENT} = %(problem_id)s",
    "spread": f"({SPREAD}) = %(spread)s",
    "quiet": f"({QUIET}) = %(quiet)s",
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
LATER = ("spread_devices",)  # fields that other rows tell
COLUMNS = (
    {name: name for name in IncidentSummary.model_fields if name not in LATER}
    | {name: f"toUnixTimestamp64Micro({name})" for name in (*TIMES, "quiet_since")}
    | {"problem_id": HOME_OF_INCIDENT, "spread": SPREAD}
)
EVENT = TypeAdapter(EventRow)
SELECTED = ", ".join(COLUMNS.values())
PAGE = "SELECT {columns} FROM aiops.incidents FINAL WHERE {conditions} ORDER BY {order}"
ORDERS: dict[Order, tuple[str, str, str]] = {  # column, comparison, order
    "newest": ("created_at", "<", "created_at DESC, id DESC LIMIT %(most)s"),
    "longest_quiet": ("quiet_since", ">", "quiet_since, id LIMIT %(most)s"),
}
EDITS = "SELECT problem_id, change, body FROM aiops.problem_edits FINAL ORDER BY problem_id, change"
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
    """``IncidentStore`` over the tables of ``clickhouse/``.

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
        """All tables at once: writing is idempotent, so it needs no order. But occurrences come
        first: a fact that an incident has been stored with says nothing new of them when it comes
        again."""
        tables = batch.tables()
        if occurrences := tables.pop(OCCURRENCES, None):
            await self._insert(OCCURRENCES, occurrences, batch.token)
        outcomes = await asyncio.gather(
            *(self._insert(name, table, batch.token) for name, table in tables.items()),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _insert(self, name: str, table: Batch, token: str) -> None:
        await self._clickhouse.insert(
            f"aiops.{name}",
            table.rows[0]._fields,
            _dated(table.rows),
            token=f"{token}-{name}",
        )

    async def incident(self, incident_id: str) -> StoredIncident | None:
        rows = await self._reads.query(INCIDENT, {"id": incident_id})
        return next(iter(_incidents(rows)), None)

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        rows = await self._reads.query(NEWEST_OPEN, {"most": most})
        return _incidents(rows)

    async def page(
        self,
        where: IncidentFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes = AS_NAMED,
    ) -> Sequence[IncidentSummary]:
        fetch = partial(self._page_rows, where, homes)
        by = itemgetter(*map(list(COLUMNS).index, (ORDERS[where.order][0], "id")))
        return await filled(fetch, after, most, "incident_list", _summary, by)

    async def _page_rows(
        self, where: IncidentFilter, homes: ProblemHomes, after: PagePosition | None, most: int
    ) -> list[Row]:
        wanted = _parameters(where)
        conditions = [CONDITIONS[name] for name in wanted]
        column, beyond, order = ORDERS[where.order]
        if where.order == "longest_quiet":
            conditions.append(QUIET)
        if after:
            conditions.append(f"({column}, id) {beyond} ({AFTER})")
            wanted |= after._asdict()
        sql = PAGE.format(columns=SELECTED, conditions=" AND ".join(conditions) or "1", order=order)
        reader = self._whole if where.tracking_id else self._reads
        return await reader.query(sql, wanted | home_parameters(homes) | {"most": most})

    async def spreads(
        self, named: Collection[str], least: int, homes: ProblemHomes = AS_NAMED
    ) -> Mapping[str, int]:
        if not named:
            return {}
        bound = {"named": tuple(named), "least": least} | home_parameters(homes)
        return {str(name): int(wide) for name, wide in await self._reads.query(SPREADS, bound)}

    async def edits(self) -> Sequence[ProblemEdited]:
        rows = await self._reads.query(EDITS)
        return read_all(rows, "incident-api.problem_edits", _edit, name=itemgetter(0))

    async def tracking_ids(self, incident_id: str, most: int) -> Sequence[str]:
        rows = await self._whole.query(TRACKING_IDS, {"incident_id": incident_id, "most": most})
        return [str(row[0]) for row in rows]

    async def evidence(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[Evidence]:
        fetch = partial(self._rows_of, EVIDENCE, "(ts, anomaly_id) <", incident_id)
        return await filled(fetch, after, most, "evidence", _evidence, itemgetter(0, 1))

    async def timeline(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[EventRow]:
        fetch = partial(self._rows_of, TIMELINE, "(ts, event_id) >", incident_id)
        return await filled(fetch, after, most, "timeline", _event, itemgetter(2, 0))

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
    absent = ("resolve_reason", "assignee", "problem_id", "occurrence", "spread")
    columns |= {name: columns[name] or None for name in absent}
    quiet = columns["quiet_since"]
    columns["quiet_since"] = None if quiet is None else moment(quiet)
    cause = columns["root_cause"]
    columns["root_cause"] = RootCause.model_validate_json(cause) if cause else None
    return IncidentSummary.model_validate(columns)


def home_parameters(homes: ProblemHomes) -> dict[str, object]:
    """What ``HOME`` needs. ClickHouse refuses empty lists; nothing has an empty id."""
    split = {f"{problem} {incident}": home for (problem, incident), home in homes.split.items()}
    return {
        "merged_of": ["", *homes.merged],
        "merged_to": ["", *homes.merged.values()],
        "split_of": ["", *split],
        "split_to": ["", *split.values()],
    }


def _edit(row: Row) -> ProblemEdited:
    return ProblemEdited.model_validate_json(row[-1])


def _event(row: Row) -> EventRow:
    return EVENT.validate_python(row)


def _evidence(row: Row) -> Evidence:
    return Evidence.model_validate_json(row[-1])


async def filled(
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
    texts = (
        "category",
        "ship_id",
        "service",
        "device_id",
        "tracking_id",
        "problem_id",
        "spread",
        "q",
    )
    wanted: dict[str, object] = {n: getattr(where, n) for n in texts if getattr(where, n)}
    if where.quiet is not None:
        wanted["quiet"] = int(where.quiet)
    for name in ("status", "severity"):
        if values := getattr(where, name):
            wanted[name] = tuple(value.value for value in values)
    for name in ("since", "until"):
        if at := getattr(where, name):
            wanted[name] = micros(at)
    return wanted
