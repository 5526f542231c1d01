"""Problems in ClickHouse. Values are always bound; the SQL is constant text."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter

from pydantic import TypeAdapter

from aiops_core.adapters.clickhouse import Row
from aiops_core.models import Severity
from incident_api.clickhouse_store import (
    AFTER,
    HOME,
    HOME_OF_INCIDENT,
    IN_SPREADS,
    NEWEST,
    SPREAD,
    WIDTHS,
    filled,
    home_parameters,
)
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.reads import SqlQueries
from incident_api.recurrence.store import (
    ENDINGS_SHOWN,
    TITLES_READ,
    Ending,
    ProblemFilter,
    ProblemSummary,
    StoredOccurrence,
    occurrence_place,
)
from incident_api.rows import moment

HOME_OF_OCCURRENCE = HOME.format(incident="incident_id")
KNOWN = (
    f"SELECT {HOME_OF_OCCURRENCE} AS problem, count() AS known"
    " FROM aiops.problem_occurrences FINAL WHERE {occurrences} GROUP BY problem"
)
# As times_of has it.
TIMES = "if(has(%(edited)s, problem) AND known > 0, known, greatest(named, known))"
# The newest incident tells what the problem is now.
PROBLEM_ROWS = (
    f"SELECT {HOME_OF_INCIDENT} AS problem, any(ship_id) AS ship, argMax(id, {NEWEST}) AS newest,"
    f" argMax({SPREAD}, {NEWEST}) AS newest_spread,"
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
    " FROM aiops.incidents FINAL WHERE problem_id != '' AND {incidents} GROUP BY problem"
)
IS_SPREAD = "wide >= %(least)s"
LATEST = "(last, problem)"
# Problems of one spread that is wide enough are one item, any other problem is one itself.
ITEMS = (
    f"SELECT if({IS_SPREAD}, newest_spread, problem) AS item, any(ship) AS item_ship,"
    " any(newest_spread) AS item_spread, any(wide) AS item_wide,"
    f" arrayMap(x -> x.2, arraySlice(arrayReverseSort(groupArray(({LATEST}, newest_title))),"
    f" 1, {TITLES_READ})) AS item_titles,"
    " if(max(is_open), groupUniqArrayIf(newest_severity, is_open),"
    " groupUniqArray(newest_severity)) AS item_severities,"
    f" if(any({IS_SPREAD}), arraySort(groupUniqArrayArray(devices)), argMax(devices, {LATEST}))"
    " AS item_devices,"
    f" argMax(root, {LATEST}) AS item_root,"
    f" sum({TIMES}) AS item_times, max({TIMES}) AS most_times,"
    f" argMax(newest_cadence, {LATEST}) AS item_cadence, max(newest_cadence != '') AS is_chronic,"
    " max(is_open) AS item_open, groupArray(problem) AS all_problems,"
    " if(countIf(is_open AND quiet IS NULL) > 0, NULL, max(quiet)) AS item_quiet,"
    f" sum(incidents) AS item_incidents, argMax(newest, {LATEST}) AS item_newest,"
    " min(first) AS item_first, max(last) AS item_last, count() AS item_problems,"
    " countIf(is_open) AS item_open_problems,"
    " groupUniqArrayArray(every_device) AS all_devices,"
    " groupUniqArrayArray(every_title) AS all_titles FROM ("
    f"SELECT * FROM ({PROBLEM_ROWS}) AS problems LEFT JOIN ({KNOWN}) AS counted USING problem"
    f") AS known_problems LEFT JOIN ({WIDTHS}) AS spreads USING newest_spread GROUP BY item"
)
PROBLEMS = (
    "SELECT item, item_ship, item_titles, item_severities, item_devices, item_root, item_times,"
    " item_cadence, item_open, item_quiet, item_incidents, item_newest,"
    " toUnixTimestamp64Micro(item_first), toUnixTimestamp64Micro(item_last), item_spread,"
    f" item_wide, item_problems, item_open_problems FROM ({ITEMS})"
    " WHERE {conditions} ORDER BY item_last DESC, item DESC LIMIT %(most)s"
)
CONDITIONS = {  # an item is found by what any problem of it says
    "problem": "item = %(problem)s",
    "spread": "item_spread = %(spread)s",
    "open": "item_open = %(open)s",
    "chronic": "is_chronic = %(chronic)s",
    "device": "arrayExists(x -> lowerUTF8(x) = lowerUTF8(%(device)s), all_devices)",
    "ship_id": "item_ship = %(ship_id)s",
    "times": "most_times >= %(times)s",
    "q": (
        "positionCaseInsensitiveUTF8(concat(arrayStringConcat(all_titles, '\\n'), '\\n',"
        " arrayStringConcat(all_devices, '\\n'), '\\n',"
        " arrayStringConcat(all_problems, '\\n'), '\\n', item), %(q)s) > 0"
    ),
}
# By the key of the table first.
OF_PROBLEM = f"problem_id IN %(named)s AND {HOME_OF_OCCURRENCE} = %(problem)s"
# Which rows are read: all, or those of one problem and, for its width, of its spread.
EVERY = {"incidents": "1", "occurrences": "1", "which": "1"}
ONE = {
    "incidents": (
        "(ship_id, id) IN (SELECT ship_id, id FROM aiops.incidents WHERE problem_id IN %(named)s)"
        f" AND {HOME_OF_INCIDENT} = %(problem)s"
    ),
    "occurrences": OF_PROBLEM,
    "which": IN_SPREADS.format(
        spreads="(SELECT spread FROM aiops.incidents"
        " WHERE problem_id IN %(named)s AND spread != '')"
    ),
}
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
    *("id", "ship_id", "titles", "severities", "devices", "root_device", "times", "cadence"),
    *("open", "quiet_since", "incidents", "newest_incident", "first_seen", "last_seen"),
    *("spread", "spread_devices", "problems", "open_problems"),
)
NEVER = 2**31  # devices: no spread is on so many, each problem is an item


class ClickHouseProblems:
    """``ProblemStore``. *reads* writes waiting rows first."""

    def __init__(self, reads: SqlQueries) -> None:
        self._reads = reads

    async def page(
        self,
        where: ProblemFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes,
        least: int,
    ) -> Sequence[ProblemSummary]:
        least = NEVER if where.spread else least
        fetch = partial(self._rows, EVERY, _parameters(where), least, homes)
        by = itemgetter(COLUMNS.index("last_seen"), 0)
        return await filled(fetch, after, most, "problems", _summary, by)

    async def problem(self, problem_id: str, homes: ProblemHomes) -> ProblemSummary | None:
        return await self._item(ONE, problem_id, NEVER, homes)

    async def spread(self, spread: str, homes: ProblemHomes) -> ProblemSummary | None:
        return await self._item(EVERY, spread, 1, homes)

    async def _item(
        self, rows: Mapping[str, str], item: str, least: int, homes: ProblemHomes
    ) -> ProblemSummary | None:
        fetch = partial(self._rows, rows, {"problem": item}, least, homes)
        by = itemgetter(COLUMNS.index("last_seen"), 0)
        return next(iter(await filled(fetch, None, 1, "problems", _summary, by)), None)

    async def _rows(
        self,
        rows: Mapping[str, str],
        wanted: dict[str, object],
        least: int,
        homes: ProblemHomes,
        after: PagePosition | None,
        most: int,
    ) -> list[Row]:
        conditions = [CONDITIONS[name] for name in wanted]
        bound = wanted | _bound(str(wanted.get("problem", "")), homes)
        bound |= {"most": most, "least": least}
        bound["edited"] = ["", *homes.edited]
        if after:
            conditions.append(f"(item_last, item) < ({AFTER})")
            bound |= after._asdict()
        sql = PROBLEMS.format(conditions=" AND ".join(conditions), **rows)
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
    titles, severities = columns.pop("titles"), columns.pop("severities")
    columns["spread"] = columns["spread"] or None
    if columns["id"] == columns["spread"]:  # what of it cannot be read takes no other with it
        titles = [one for one in titles if isinstance(one, str)] or [""]
        severities = [one for one in severities if one in tuple(Severity)]
        columns["devices"] = [one for one in columns["devices"] if isinstance(one, str)]
    columns |= {"title": titles[0], "severity": max(map(Severity, severities))}
    item = ProblemSummary.model_validate(columns)
    return item.as_spread(titles) if item.id == item.spread else item


def _parameters(where: ProblemFilter) -> dict[str, object]:
    """The fields that restrict something, as the driver can bind them."""
    wanted: dict[str, object] = {"times": where.least_times}
    for name in ("device", "q", "ship_id", "spread"):
        if text := getattr(where, name):
            wanted[name] = text
    for name in ("open", "chronic"):
        if (value := getattr(where, name)) is not None:
            wanted[name] = int(value)
    return wanted
