"""Problems in ClickHouse. Values are always bound; the SQL is constant text."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import itemgetter

from pydantic import TypeAdapter

from aiops_core.adapters.clickhouse import Row
from incident_api.clickhouse_store import AFTER, HOME, HOME_OF_INCIDENT, filled, home_parameters
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.reads import SqlQueries
from incident_api.recurrence.store import (
    ENDINGS_SHOWN,
    Ending,
    ProblemFilter,
    ProblemSummary,
    StoredOccurrence,
    occurrence_place,
)
from incident_api.rows import moment

HOME_OF_OCCURRENCE = HOME.format(incident="incident_id")
NEWEST = "(last_seen, id)"
KNOWN = (
    f"SELECT {HOME_OF_OCCURRENCE} AS problem, count() AS known"
    " FROM aiops.problem_occurrences FINAL GROUP BY problem"
)
EDITED = "has(%(edited)s, problem) AND known > 0"  # as times_of has it
# The newest incident tells what the problem is now.
PROBLEMS = (
    "SELECT problem, ship, newest_title, newest_severity, devices, root,"
    f" if({EDITED}, known, greatest(named, known)) AS times,"
    " newest_cadence, is_open, quiet, incidents, newest, toUnixTimestamp64Micro(first),"
    " toUnixTimestamp64Micro(last) AS last_micros FROM ("
    f"SELECT {HOME_OF_INCIDENT} AS problem, any(ship_id) AS ship, argMax(id, {NEWEST}) AS newest,"
    f" argMax(title, {NEWEST}) AS newest_title,"
    f" argMax(severity, {NEWEST}) AS newest_severity,"
    f" argMax(affected_devices, {NEWEST}) AS devices,"
    f" argMax(JSONExtractString(root_cause, 'device'), {NEWEST}) AS root,"
    f" argMax(cadence, {NEWEST}) AS newest_cadence, max(occurrence) AS named,"
    " max(status IN ('open', 'ack')) AS is_open,"
    " if(countIf(status IN ('open', 'ack') AND quiet_since IS NULL) > 0, NULL,"
    " maxOrNullIf(toUnixTimestamp64Micro(quiet_since), status IN ('open', 'ack'))) AS quiet,"
    " count() AS incidents, min(first_seen) AS first, max(last_seen) AS last,"
    " groupUniqArrayArray(affected_devices) AS every_device,"
    " groupUniqArray(title) AS every_title"
    " FROM aiops.incidents FINAL WHERE problem_id != '' GROUP BY problem"
    f") AS problems LEFT JOIN ({KNOWN}) AS counted USING problem"
    " WHERE {conditions} ORDER BY last DESC, problem DESC LIMIT %(most)s"
)
CONDITIONS = {
    "problem": "problem = %(problem)s",
    "open": "is_open = %(open)s",
    "chronic": "(newest_cadence != '') = %(chronic)s",
    "device": "arrayExists(x -> lowerUTF8(x) = lowerUTF8(%(device)s), every_device)",
    "ship_id": "ship = %(ship_id)s",
    "times": "times >= %(times)s",
    "q": (
        "positionCaseInsensitiveUTF8(concat(arrayStringConcat(every_title, '\\n'), '\\n',"
        " arrayStringConcat(every_device, '\\n'), '\\n', problem), %(q)s) > 0"
    ),
}
# By the key of the table first.
OF_PROBLEM = f"problem_id IN %(named)s AND {HOME_OF_OCCURRENCE} = %(problem)s"
KEY = "concat(incident_id, ' ', problem_id, ' ', leftPad(toString(occurrence), 10, '0'))"
OCCURRENCES = (
    "SELECT place, problem_id, incident_id, occurrence, toUnixTimestamp64Micro(began),"
    " toUnixTimestamp64Micro(ended), ending, note, severity, devices FROM ("
    f"SELECT *, {KEY} AS key, row_number() OVER (ORDER BY began DESC, {KEY} DESC) AS place"
    f" FROM aiops.problem_occurrences FINAL WHERE {OF_PROBLEM}"
    ") WHERE {after} ORDER BY place LIMIT %(most)s"
)
ENDINGS = (
    "SELECT ending, count() AS number, toUnixTimestamp64Micro(max(assumeNotNull(ended))) AS last"
    f" FROM aiops.problem_occurrences FINAL WHERE {OF_PROBLEM}"
    " AND ending != '' AND ended IS NOT NULL"
    " GROUP BY ending ORDER BY number DESC, last DESC, ending LIMIT %(most)s"
)
OCCURRENCE = TypeAdapter(StoredOccurrence)
COLUMNS = (
    *("id", "ship_id", "title", "severity", "devices", "root_device", "times", "cadence"),
    *("open", "quiet_since", "incidents", "newest_incident", "first_seen", "last_seen"),
)


class ClickHouseProblems:
    """``ProblemStore``. *reads* writes waiting rows first."""

    def __init__(self, reads: SqlQueries) -> None:
        self._reads = reads

    async def page(
        self, where: ProblemFilter, after: PagePosition | None, most: int, homes: ProblemHomes
    ) -> Sequence[ProblemSummary]:
        fetch = partial(self._rows, _parameters(where), homes)
        by = itemgetter(COLUMNS.index("last_seen"), 0)
        return await filled(fetch, after, most, "problems", _summary, by)

    async def problem(self, problem_id: str, homes: ProblemHomes) -> ProblemSummary | None:
        fetch = partial(self._rows, {"problem": problem_id}, homes)
        found = await filled(fetch, None, 1, "problems", _summary, itemgetter(-1, 0))
        return next(iter(found), None)

    async def _rows(
        self,
        wanted: dict[str, object],
        homes: ProblemHomes,
        after: PagePosition | None,
        most: int,
    ) -> list[Row]:
        conditions = [CONDITIONS[name] for name in wanted]
        bound = wanted | home_parameters(homes) | {"most": most, "edited": ["", *homes.edited]}
        if after:
            conditions.append(f"(last, problem) < ({AFTER})")
            bound |= after._asdict()
        sql = PROBLEMS.format(conditions=" AND ".join(conditions))
        return await self._reads.query(sql, bound)

    async def occurrences(
        self, problem_id: str, after: PagePosition | None, most: int, homes: ProblemHomes
    ) -> Sequence[StoredOccurrence]:
        fetch = partial(self._occurrence_rows, problem_id, homes)
        return await filled(fetch, after, most, "occurrences", _occurrence, _place)

    async def _occurrence_rows(
        self, problem_id: str, homes: ProblemHomes, after: PagePosition | None, most: int
    ) -> list[Row]:
        bound = _bound(problem_id, homes) | {"most": most}
        sql = OCCURRENCES.format(after=f"(began, key) < ({AFTER})" if after else "1")
        return await self._reads.query(sql, bound | (after._asdict() if after else {}))

    async def endings(self, problem_id: str, homes: ProblemHomes) -> Sequence[Ending]:
        bound = _bound(problem_id, homes) | {"most": ENDINGS_SHOWN}
        return [Ending._make(row) for row in await self._reads.query(ENDINGS, bound)]


def _bound(problem_id: str, homes: ProblemHomes) -> dict[str, object]:
    """The parameters of ``OF_PROBLEM``."""
    named = tuple(homes.named(problem_id))
    return {"problem": problem_id, "named": named} | home_parameters(homes)


def _occurrence(row: Row) -> StoredOccurrence:
    return OCCURRENCE.validate_python(row)


def _place(row: Row) -> tuple[int, str]:
    return occurrence_place(StoredOccurrence._make(row))


def _summary(row: Row) -> ProblemSummary:
    columns = dict(zip(COLUMNS, row, strict=True))
    columns |= {name: moment(columns[name]) for name in ("first_seen", "last_seen")}
    quiet = columns["quiet_since"]
    columns["quiet_since"] = None if quiet is None else moment(quiet)
    columns |= {"open": bool(columns["open"]), "root_device": columns["root_device"] or None}
    return ProblemSummary.model_validate(columns)


def _parameters(where: ProblemFilter) -> dict[str, object]:
    """The fields that restrict something, as the driver can bind them."""
    wanted: dict[str, object] = {"times": where.times}
    for name in ("device", "q", "ship_id"):
        if text := getattr(where, name):
            wanted[name] = text
    for name in ("open", "chronic"):
        if (value := getattr(where, name)) is not None:
            wanted[name] = int(value)
    return wanted
