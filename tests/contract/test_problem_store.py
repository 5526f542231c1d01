"""What incident-api expects of stored problems: the same of those in memory and of ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed, Row
from aiops_core.models import Message, ProblemEdited, Recurrence, RootCause
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemEdits, ProblemHomes
from incident_api.recurrence.models import problem_place
from incident_api.recurrence.queries import ClickHouseProblems
from incident_api.recurrence.store import (
    ProblemFilter,
    ProblemStore,
    ProblemSummary,
    occurrence_place,
)
from incident_api.rows import micros
from incident_api.store import IncidentFilter
from tests.api_parts import Platform, empty_tables, platform, platform_on, recovered
from tests.incident_cases import at, cleared, created, evidence, transitioned, updated

ALL = ProblemFilter(times=1)


class Remembered:
    def __init__(self, made: Platform) -> None:
        self.made, self.after = made, made.after
        self.problems: ProblemStore = made.components.problem_store

    @property
    def homes(self) -> ProblemHomes:
        return self.made.recorder.edits.homes

    async def ids(self, **where: object) -> list[str]:
        asked = ProblemFilter(**{"times": 1} | where)  # type: ignore[arg-type]
        return [one.id for one in await self.problems.page(asked, None, 100, self.homes, 3)]

    async def times(self, problem: str) -> list[tuple[str, int, str]]:
        found = await self.problems.occurrences(problem, None, 100, self.homes)
        assert [one.place for one in found] == list(range(1, len(found) + 1))
        return [(one.incident_id, one.number, one.ending) for one in found]


@pytest.fixture(params=["memory", "clickhouse"])
async def remembered(request: pytest.FixtureRequest) -> AsyncIterator[Remembered]:
    if request.param == "memory":
        yield Remembered(await recovered(platform()))
        return
    async with empty_tables(request.getfixturevalue("clickhouse_url")) as clickhouse:
        yield Remembered(await recovered(platform_on(clickhouse)))


def of(problem: str, number: int = 1, cadence: str = "", spread: str = "") -> dict[str, Recurrence]:
    said = Recurrence(
        problem_id=problem, occurrence=number, cadence=cadence, kind="k", spread=spread
    )
    return {"recurrence": said}


def opened(incident: str, n: int, problem: str, number: int = 1, **fields) -> Message:
    cadence, spread = fields.pop("cadence", ""), fields.pop("spread", "")
    return created(incident, n, **of(problem, number, cadence, spread), **fields)


def on(device: str, n: int, spread: str = "s", **fields) -> Message:
    """An incident with a problem of its own on *device*."""
    members = (evidence(n, device_id=device),)
    root = RootCause(device=device, service="x", reason="r")
    base = {"title": f"Fan failed on {device}", "evidence": members, "root_cause": root}
    return opened(f"i-{device}", n, f"p-{device}", spread=spread, **base | fields)


def merged(problem: str, into: str, n: int = 1) -> ProblemEdited:
    return edited(problem, n, kind="merge", into=into)


def split(problem: str, incident: str, into: str, n: int = 1) -> ProblemEdited:
    return edited(problem, n, kind="split", into=into, incident_id=incident)


def edited(problem: str, n: int, **fields) -> ProblemEdited:
    base = {"tracking_id": "x", "ship_id": "ship-1", "ts": at(9000 + n)}
    return ProblemEdited.model_validate(base | {"problem_id": problem, "change": n} | fields)


async def test_what_came_once_twice_and_never_said_what_it_is(remembered):
    await remembered.after(
        created("by-hand"),
        opened("a1", 1, "a"),
        cleared(2, "a1"),
        opened("a2", 50, "a", 2),
        opened("b1", 90, "b"),
    )
    assert await remembered.ids() == ["b", "a"]
    assert await remembered.ids(times=2) == ["a"]
    found = await remembered.problems.problem("a", remembered.homes)
    assert (found.times, found.incidents, found.newest_incident) == (2, 2, "a2")
    assert (found.first_seen, found.last_seen, found.open) == (at(1), at(50), True)
    assert await remembered.problems.problem("nobody", remembered.homes) is None
    assert await remembered.times("a") == [("a2", 2, ""), ("a1", 1, "recovered")]


async def test_the_newest_incident_tells_what_the_problem_is_now(remembered):
    await remembered.after(
        opened("a1", 1, "a", title="Fan 2 stopped", severity="low"),
        cleared(2, "a1"),
        opened("a2", 50, "a", 2, cadence="hourly", title="Fan 3 stopped", severity="critical"),
    )
    found = await remembered.problems.problem("a", remembered.homes)
    assert (found.title, found.severity, found.cadence) == ("Fan 3 stopped", "critical", "hourly")
    assert found.devices == ("sw-50",)


@pytest.mark.parametrize(
    "where",
    [
        {"open": True},
        {"device": "VSAT-1"},
        {"chronic": True},
        {"q": "MODEM läuft"},
        {"q": "vsat-"},
        {"ship_id": "ship-2"},
        {"times": 7},
    ],
)
async def test_filters_find_the_one_and_not_the_other(remembered, where):
    special = opened(
        "special",
        77,
        "s",
        7,
        cadence="daily at 04:02",
        ship_id="ship-2",
        evidence=(evidence(77, device_id="vsat-1"),),
        title="Modem läuft heiß",
    )
    await remembered.after(opened("i1", 1, "o"), cleared(2), special)
    assert await remembered.ids(**where) == ["s"]


async def test_those_that_are_over_or_have_no_cadence_are_found(remembered):
    await remembered.after(opened("i1", 1, "o"), cleared(2), opened("i2", 9, "s", 3, cadence="x"))
    assert await remembered.ids(open=False) == ["o"]
    assert await remembered.ids(chronic=False) == ["o"]


async def test_pages_of_problems_and_of_occurrences_are_whole(remembered):
    await remembered.after(*(opened(f"i{n}", n, f"p{n}") for n in range(5)))
    await remembered.after(
        *(m for n in range(2, 7) for m in (cleared(2 * n - 2, "i0"), back("i0", 2 * n - 1, n)))
    )
    seen, after = [], None
    while page := await remembered.problems.page(ALL, after, 2, remembered.homes, 3):
        seen += [one.id for one in page]
        after = PagePosition(*problem_place(page[-1]))
    assert seen == ["p0", "p4", "p3", "p2", "p1"]
    numbers, after = [], None
    while page := await remembered.problems.occurrences("p0", after, 4, remembered.homes):
        numbers += [(one.place, one.number) for one in page]
        after = PagePosition(*occurrence_place(page[-1]))
    assert numbers == [(1, 6), (2, 5), (3, 4), (4, 3), (5, 2), (6, 1)]


def back(incident: str, revision: int, number: int) -> Message:
    again = of("p0", number)
    return updated(revision, 100 * number, incident=incident, reopens=True, **again)


async def test_a_fact_that_comes_again_changes_nothing(remembered):
    facts = (opened("i0", 1, "p0"), cleared(2, "i0"), back("i0", 3, 2))
    for _ in range(3):
        await remembered.after(*facts)
    assert await remembered.times("p0") == [("i0", 2, ""), ("i0", 1, "recovered")]


async def test_what_ended_it_is_counted(remembered):
    replaced = transitioned(1, "resolve", "i0", resolve_reason="PSU replaced", revision=5)
    await remembered.after(
        opened("i0", 1, "p0"), cleared(2, "i0"), back("i0", 3, 2), cleared(4, "i0")
    )
    await remembered.after(back("i0", 5, 3), replaced)
    found = await remembered.problems.endings("p0", remembered.homes)
    assert [(one.ending, one.number) for one in found] == [("recovered", 2), ("PSU replaced", 1)]
    assert found[1].last == micros(replaced.ts)


async def test_merged_problems_are_one(remembered):
    await remembered.after(*(opened("a1", 1, "a"), opened("a2", 20, "a", 2), opened("b1", 30, "b")))
    await remembered.after(merged("b", "a"))
    assert await remembered.ids() == ["a"]
    found = await remembered.problems.problem("a", remembered.homes)
    assert (found.times, found.incidents) == (3, 3)
    assert [one[0] for one in await remembered.times("a")] == ["b1", "a2", "a1"]
    await remembered.after(opened("a3", 40, "a", 4))
    assert (await remembered.problems.problem("a", remembered.homes)).times == 4


async def test_what_is_split_off_is_a_problem_of_its_own_and_may_come_back(remembered):
    await remembered.after(*(opened(f"a{n}", 10 * n, "a", n) for n in (1, 2, 3)))
    await remembered.after(split("a", "a2", "s"))
    assert await remembered.ids() == ["a", "s"]
    found = await remembered.problems.problem("a", remembered.homes)
    assert (found.times, [one[0] for one in await remembered.times("a")]) == (2, ["a3", "a1"])
    await remembered.after(merged("s", "a", 2))
    assert await remembered.ids() == ["a"]
    assert (await remembered.problems.problem("a", remembered.homes)).times == 3


async def test_incidents_are_found_by_the_problem_that_has_them_now(remembered):
    await remembered.after(*(opened(f"a{n}", 10 * n, "a", n) for n in (1, 2)))
    await remembered.after(opened("b1", 30, "b"), created("by-hand"))
    await remembered.after(split("a", "a2", "s"), merged("b", "a", 2))
    store = remembered.made.components.store

    async def incidents(problem: str) -> list[tuple[str, str | None]]:
        where = IncidentFilter(problem_id=problem)
        page = await store.page(where, None, 9, remembered.homes)
        return [(one.id, one.problem_id) for one in page]

    assert await incidents("a") == [("b1", "a"), ("a1", "a")]
    assert await incidents("s") == [("a2", "s")]
    assert len(await incidents("")) == 4


async def test_edits_are_known_again_after_a_start(remembered):
    edits = (split("a", "a2", "s"), merged("b", "a"))
    await remembered.after(*edits, *edits)
    again = ProblemEdits()
    again.add(await remembered.made.components.store.edits())
    assert again.homes == remembered.homes
    assert len(again) == 2


async def test_a_problem_is_quiet_when_all_of_it_that_is_open_is(remembered):
    await remembered.after(opened("a1", 1, "a"), opened("a2", 5, "a", 2))
    quiet = [updated(2, incident=one, quiet_since=at(9)) for one in ("a1", "a2")]
    shown = []
    for fact in (*quiet, cleared(3, "a1"), cleared(3, "a2")):
        await remembered.after(fact)
        shown.append((await remembered.problems.problem("a", remembered.homes)).quiet_since)
    assert shown == [None, at(9), at(9), None]


@pytest.mark.parametrize("quiet", [True, False])
async def test_quiet_incidents_are_found(remembered, quiet):
    await remembered.after(opened("i1", 1, "a"), opened("i2", 2, "b"), opened("i3", 3, "c"))
    await remembered.after(
        updated(2, incident="i1", quiet_since=at(1)), updated(2, incident="i3", quiet_since=at(3))
    )
    store = remembered.made.components.store
    found = await store.page(IncidentFilter(quiet=quiet), None, 9)
    assert [one.id for one in found] == (["i3", "i1"] if quiet else ["i2"])
    await remembered.after(cleared(3, "i1"))
    found = await store.page(IncidentFilter(quiet=quiet), None, 9)
    assert [one.id for one in found] == (["i3"] if quiet else ["i2", "i1"])


async def test_the_longest_quiet_come_first_page_by_page(remembered):
    times = {"i1": 40, "i2": 10, "i3": 30, "i4": 10}
    await remembered.after(*(opened(one, 1, one) for one in (*times, "loud")))
    quiet = (updated(2, incident=one, quiet_since=at(n)) for one, n in times.items())
    await remembered.after(*quiet)
    where, seen, after = IncidentFilter(order="longest_quiet"), [], None
    while page := await remembered.made.components.store.page(where, after, 3):
        seen += [one.id for one in page]
        after = PagePosition(*where.place(page[-1]))
    assert seen == ["i2", "i4", "i3", "i1"]


# --- spreads


async def item(remembered: Remembered, least: int = 3, **where: object) -> ProblemSummary:
    asked = ProblemFilter(**{"times": 1} | where)  # type: ignore[arg-type]
    [found] = await remembered.problems.page(asked, None, 9, remembered.homes, least)
    return found


async def test_problems_of_one_spread_are_one_item_on_enough_devices(remembered):
    await remembered.after(on("sw-1", 1), on("sw-2", 2), on("sw-3", 3, ""))
    assert await remembered.ids() == ["p-sw-3", "p-sw-2", "p-sw-1"]
    await remembered.after(on("sw-4", 4))
    assert await remembered.ids() == ["s", "p-sw-3"]
    assert await remembered.ids(spread="s") == ["p-sw-4", "p-sw-2", "p-sw-1"]
    assert await remembered.ids(spread="none") == []


async def test_an_item_says_what_happened_where_and_how_bad_it_is(remembered):
    await remembered.after(
        on("sw-1", 1, severity="critical"),
        on("sw-2", 2, severity="low"),
        on("sw-3", 3, severity="high"),
        cleared(2, "i-sw-1"),
    )
    found = await item(remembered)
    assert (found.id, found.spread, found.title) == ("s", "s", "Fan failed on 3 devices")
    assert (found.severity, found.spread_devices, found.problems) == ("high", 3, 3)
    assert found.devices == ("sw-1", "sw-2", "sw-3") and found.root_device is None
    assert (found.times, found.incidents, found.open) == (3, 3, True)
    assert (found.first_seen, found.last_seen) == (at(1), at(3))
    assert found.newest_incident == "i-sw-3" and found.quiet_since is None
    await remembered.after(cleared(2, "i-sw-2"), cleared(2, "i-sw-3"))
    over = await item(remembered, open=False)
    assert over.severity == "critical"


async def test_its_id_is_the_same_when_a_device_comes_and_it_is_found_by_each(remembered):
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 4)))
    before = await item(remembered)
    await remembered.after(on("sw-4", 4))
    after = await item(remembered)
    assert before.id == after.id and after.title == "Fan failed on 4 devices"
    assert (await item(remembered, device="SW-2")).id == "s"
    assert (await item(remembered, q="failed on sw-3")).id == "s"


@pytest.mark.parametrize(
    "where",
    [{"q": "P-SW-1"}, {"q": "s"}, {"chronic": True}, {"times": 4}, {"device": "sw-1"}],
)
async def test_a_spread_is_found_by_what_any_of_its_problems_says(remembered, where):
    often = opened(
        "i-often",
        1,
        "p-sw-1",
        4,
        spread="s",
        cadence="hourly",
        evidence=(evidence(1, device_id="sw-1"),),
    )
    await remembered.after(often, on("sw-2", 2), on("sw-3", 3))
    assert await remembered.ids(**where) == ["s"]
    assert (await item(remembered)).times == 6
    assert await remembered.ids(times=5) == []  # none of it came so often
    assert await remembered.ids(chronic=False) == []


async def test_a_spread_is_quiet_when_all_that_is_open_is(remembered):
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 4)))
    await remembered.after(
        *(updated(2, incident=f"i-sw-{n}", quiet_since=at(10 + n)) for n in (1, 2))
    )
    assert (await item(remembered)).quiet_since is None
    await remembered.after(cleared(2, "i-sw-3"))
    assert (await item(remembered)).quiet_since == at(12)


async def test_one_problem_of_a_spread_is_found_by_its_id_and_a_narrow_spread_by_its(remembered):
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 4)), on("db", 9, "narrow"))
    store, homes = remembered.problems, remembered.homes
    part = await store.problem("p-sw-2", homes)
    assert part and (part.title, part.problems, part.spread) == ("Fan failed on sw-2", 1, "s")
    assert await store.problem("s", homes) is None
    narrow = await store.spread("narrow", homes)
    assert narrow and (narrow.id, narrow.problems) == ("narrow", 1)
    assert await store.spread("p-sw-2", homes) is None


async def test_what_was_merged_into_another_incident_counts_for_no_spread(remembered):
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 4)))
    await remembered.after(cleared(2, "i-sw-3", resolve_reason="merged", merged_into="i-sw-1"))
    assert await remembered.ids() == ["p-sw-3", "p-sw-2", "p-sw-1"]
    store = remembered.made.components.store
    assert await store.spreads({"s"}, 2) == {"s": 2}
    assert await store.spreads({"s"}, 3) == {} == await store.spreads(set(), 1)


async def test_a_problem_counts_in_its_newest_spread_alone(remembered):
    """It came on sw-4 with the others, and again in another spread."""
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 5)), cleared(2, "i-sw-1"))
    again = evidence(90, device_id="sw-4")
    await remembered.after(opened("later", 90, "p-sw-4", 2, spread="t", evidence=(again,)))
    found = await item(remembered, q="p-sw-2")
    assert (found.spread_devices, found.problems, found.open_problems) == (3, 3, 2)
    assert found.title == "Fan failed on 3 devices"
    store = remembered.made.components.store
    assert await store.spreads({"s", "t"}, 1) == {"s": 3, "t": 1}
    await remembered.after(opened("c1", 95, "c", spread="t"), merged("p-sw-3", "c"))
    assert await store.spreads({"s", "t"}, 1, remembered.homes) == {"s": 2, "t": 2}


async def test_a_problem_alone_is_what_a_list_says_of_it(remembered):
    await remembered.after(*(on(f"sw-{n}", n) for n in range(1, 5)), opened("a1", 9, "a"))
    await remembered.after(opened("a2", 20, "a", 2), opened("b1", 30, "b", spread="s"))
    await remembered.after(merged("p-sw-2", "p-sw-1"), merged("a", "b", 2), split("a", "a2", "x"))
    store, homes = remembered.problems, remembered.homes
    listed = await store.page(ALL, None, 99, homes, 10)
    assert [one.id for one in listed] == ["b", "x", "p-sw-4", "p-sw-3", "p-sw-1"]
    assert [await store.problem(one.id, homes) for one in listed] == list(listed)
    assert listed[0].spread_devices == 4


class Grouping:
    """``SqlQueries`` that refuse a query which groups more than *most* problems."""

    def __init__(self, clickhouse: ClickHouse, most: int) -> None:
        self._clickhouse, self._most = clickhouse, most

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        limit = f" SETTINGS max_rows_to_group_by = {self._most}, group_by_overflow_mode = 'throw'"
        return await self._clickhouse.query(sql + limit, parameters)


async def test_one_problem_costs_no_look_at_all_others(clickhouse_url):
    async with empty_tables(clickhouse_url) as clickhouse:
        made = Remembered(await recovered(platform_on(clickhouse)))
        many = [opened(f"i{n}", n, f"p{n}") for n in range(30)]
        await made.after(*many, *(on(f"sw-{n}", n) for n in range(1, 5)))
        store = ClickHouseProblems(Grouping(clickhouse, 5))
        for problem in ("p7", "p-sw-2"):
            found = await store.problem(problem, made.homes)
            assert found and found.id == problem
        with pytest.raises(QueryFailed):
            await store.page(ALL, None, 9, made.homes, 3)


async def test_incidents_are_found_by_their_spread(remembered):
    await remembered.after(on("sw-1", 1), on("sw-2", 2, "other"))
    found = await remembered.made.components.store.page(IncidentFilter(spread="s"), None, 9)
    assert [(one.id, one.spread, one.spread_devices) for one in found] == [("i-sw-1", "s", 0)]


async def test_pages_of_spreads_are_whole(remembered):
    messages = [on(f"d{n}-{m}", 10 * n + m, f"s{n}") for n in range(3) for m in range(3)]
    await remembered.after(*messages, on("alone", 99, ""))
    seen, after = [], None
    while page := await remembered.problems.page(ALL, after, 2, remembered.homes, 3):
        seen += [one.id for one in page]
        after = PagePosition(*problem_place(page[-1]))
    assert seen == ["p-alone", "s2", "s1", "s0"]
