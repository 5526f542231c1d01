"""Problems: requests -> answers, edits -> homes, and what a kill in between leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.models import ProblemEdited, Recurrence
from aiops_lab.memory_bus import MemoryBus
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.folding import evolve
from incident_api.problem_homes import ProblemEdits
from incident_api.recorder import Recorder
from incident_api.recurrence import models
from incident_api.recurrence.store import times_of
from incident_api.waiting import Waiting
from tests.api_parts import Platform, platform, recovered
from tests.incident_cases import at, cleared, created, evidence, handle, updated
from tests.memory_stores import MemoryStore
from tests.runtime_cases import received

PROBLEMS = "/api/v3/problems"


@pytest.fixture
async def ship() -> Platform:
    return await recovered(platform())


@pytest.fixture
async def client(ship: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with ship.client() as client:
        yield client


def said(problem: str, number: int = 1, **fields) -> dict[str, Recurrence]:
    return {"recurrence": Recurrence(problem_id=problem, occurrence=number, **fields)}


async def chronic(ship: Platform) -> None:
    """Problem p: one that was replaced by a person, one that comes daily and is quiet."""
    await ship.after(
        created("i1", 1, **said("p")),
        cleared(2, "i1", confidence=0.7),
        created("i2", 100, **said("p", 2)),
        updated(2, 200, incident="i2", **said("p", 3, cadence="daily at 04:02")),
        updated(3, incident="i2", quiet_since=at(200), reason="still open"),
    )


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


async def test_what_came_back_is_listed(ship, client):
    await chronic(ship)
    await ship.after(created("once", 300, **said("q")))
    [one] = (await client.get(PROBLEMS)).json()["items"]
    assert (one["id"], one["times"], one["cadence"]) == ("p", 3, "daily at 04:02")
    assert (one["open"], one["newest_incident"], one["incidents"]) == (True, "i2", 2)
    assert one["quiet_since"] == "2026-06-01T12:03:20Z"
    every = (await client.get(PROBLEMS, params={"times": 1, "limit": 1})).json()
    assert [item["id"] for item in every["items"]] == ["q"]
    params = {"times": 1, "cursor": every["next_cursor"]}
    rest = (await client.get(PROBLEMS, params=params)).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == (["p"], None)


async def test_a_problem_is_shown_with_its_times_and_ends(ship, client):
    await chronic(ship)
    shown = (await client.get(f"{PROBLEMS}/p")).json()
    told = [
        (one["number"], one["incident_id"], one["duration_s"], one["ending"])
        for one in shown["occurrences"]
    ]
    assert told == [
        (3, "i2", None, ""),
        (2, "i2", 0.0, ""),
        (1, "i1", 0.0, "probably recovered"),
    ]
    assert [(e["ending"], e["number"]) for e in shown["endings"]] == [("probably recovered", 1)]
    listed = [(one["id"], one["occurrence"]) for one in shown["newest_incidents"]]
    assert listed == [("i2", 3), ("i1", 1)]
    page = (await client.get(f"{PROBLEMS}/p/occurrences", params={"limit": 2})).json()
    assert [one["number"] for one in page["items"]] == [3, 2]
    rest = await client.get(f"{PROBLEMS}/p/occurrences", params={"cursor": page["next_cursor"]})
    assert [one["number"] for one in rest.json()["items"]] == [1]


async def test_incidents_say_what_they_are_occurrences_of(ship, client):
    await chronic(ship)
    await ship.after(created("other", 300, **said("q")))
    found = (await client.get("/api/v3/incidents", params={"problem_id": "p"})).json()["items"]
    assert [(one["id"], one["occurrence"], one["cadence"]) for one in found] == [
        ("i2", 3, "daily at 04:02"),
        ("i1", 1, ""),
    ]
    quiet = (await client.get("/api/v3/incidents", params={"quiet": True})).json()["items"]
    assert [(one["id"], one["quiet_since"]) for one in quiet] == [("i2", "2026-06-01T12:03:20Z")]
    shown = (await client.get("/api/v3/incidents/i2")).json()
    assert shown["recurrence"]["occurrence"] == 3
    assert "still open" in [entry["text"] for entry in shown["timeline"]]


async def test_the_longest_quiet_come_first(ship, client):
    await ship.after(*(created(f"i{n}", n) for n in range(4)))
    await ship.after(*(updated(2, incident=f"i{n}", quiet_since=at(50 - n)) for n in range(3)))
    params: dict[str, Any] = {"order": "longest_quiet", "limit": 2}
    first = (await client.get("/api/v3/incidents", params=params)).json()
    assert [one["id"] for one in first["items"]] == ["i2", "i1"]
    rest = await client.get("/api/v3/incidents", params=params | {"cursor": first["next_cursor"]})
    assert [one["id"] for one in rest.json()["items"]] == ["i0"]


async def test_merged_by_a_person_two_problems_are_one(ship, client):
    await chronic(ship)
    await ship.after(created("b1", 300, **said("b")))
    body = {"into": "p", "comment": "the same fan"}
    for _ in range(2):  # repeating it changes nothing
        answer = await client.post(
            f"{PROBLEMS}/b/merge", json=body, headers={"X-Grafana-User": "eto"}
        )
        assert (answer.json()["id"], answer.json()["times"]) == ("p", 4)
    [fact] = ship.bus.published
    assert isinstance(fact, ProblemEdited)
    assert (fact.problem_id, fact.into, fact.change, fact.actor) == ("b", "p", 1, "eto")
    assert (await client.get(f"{PROBLEMS}/b")).json()["id"] == "p"
    [b1, *_] = (await client.get("/api/v3/incidents", params={"problem_id": "b"})).json()["items"]
    assert (b1["id"], b1["problem_id"]) == ("b1", "p")
    shown = (await client.get("/api/v3/incidents/b1")).json()
    assert shown["recurrence"]["problem_id"] == "p"
    rows = len(ship.store.edited)
    await ship.after(fact)  # as it comes back from the stream
    assert (rows, len(ship.store.edited), len(ship.recorder.edits)) == (1, 1, 1)


async def test_what_is_split_off_is_a_problem_of_its_own(ship, client):
    await chronic(ship)
    for _ in range(2):  # repeating it changes nothing
        new = (await client.post(f"{PROBLEMS}/p/split", json={"incident_id": "i1"})).json()
        assert (new["times"], new["newest_incident"]) == (1, "i1")
    [fact] = ship.bus.published
    assert (fact.kind, fact.incident_id, fact.into) == ("split", "i1", new["id"])
    back = (await client.post(f"{PROBLEMS}/{new['id']}/merge", json={"into": "p"})).json()
    assert (back["id"], back["times"], back["incidents"]) == ("p", 3, 2)
    once_more = await client.post(f"{PROBLEMS}/p/split", json={"incident_id": "i1"})
    assert "was split off before" in problem(once_more, 409)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("nobody/merge", {"into": "p"}, 404, "there is no problem nobody"),
        ("p/merge", {"into": "nobody"}, 404, "there is no problem nobody"),
        ("p/merge", {"into": "p"}, 422, "into itself"),
        ("p/merge", {"into": "far"}, 409, "is of another ship, ship-2"),
        ("p/merge", {}, 422, "body.into: Field required"),
        ("p/merge", {"into": "q", "surprise": 1}, 422, "body.surprise"),
        ("gone/merge", {"into": "q"}, 409, "problem gone is part of problem p now"),
        ("nobody/split", {"incident_id": "i1"}, 404, "there is no problem nobody"),
        ("p/split", {"incident_id": "other"}, 422, "other is no incident of problem p"),
        ("p/split", {"incident_id": "nobody"}, 422, "nobody is no incident of problem p"),
        ("q/split", {"incident_id": "i1"}, 422, "i1 is no incident of problem q"),
        ("q/split", {"incident_id": "other"}, 409, "problem q has no other incident"),
    ],
)
async def test_an_edit_that_makes_no_sense_is_refused_and_nothing_is_published(
    ship, client, path, body, status, words
):
    await chronic(ship)
    await ship.after(
        created("other", 300, **said("q")),
        created("far1", 301, ship_id="ship-2", **said("far")),
        created("gone1", 302, **said("gone")),
        merge_fact("gone", "p"),
    )
    await ship.after(*(created(f"z{n}", 310 + n, **said("z", n)) for n in (1, 2)))
    assert words in problem(await client.post(f"{PROBLEMS}/{path}", json=body), status)
    assert ship.bus.published == []


def merge_fact(problem_id: str, into: str, change: int = 1) -> ProblemEdited:
    return ProblemEdited(
        tracking_id="x",
        ship_id="ship-1",
        ts=at(change),
        problem_id=problem_id,
        change=change,
        kind="merge",
        into=into,
    )


async def test_what_can_no_longer_be_kept_is_refused(ship, client, monkeypatch):
    monkeypatch.setattr(models, "EDITS_MOST", 1)
    await chronic(ship)
    await ship.after(created("b", 1, **said("b")), merge_fact("gone", "b"))
    assert "no more can be kept" in problem(
        await client.post(f"{PROBLEMS}/b/merge", json={"into": "p"}), 409
    )


@pytest.mark.parametrize("path", ["", "/p", "/p/occurrences"])
async def test_without_its_store_it_says_so(ship, client, path):
    await chronic(ship)
    ship.store.problem = "clickhouse is away"
    answer = await client.get(f"{PROBLEMS}{path}")
    assert problem(answer, 503) == "clickhouse is away"
    assert answer.headers["retry-after"]


async def test_without_a_broker_nothing_is_edited(ship, client):
    await chronic(ship)
    ship.bus.connected = False
    problem(await client.post(f"{PROBLEMS}/p/split", json={"incident_id": "i1"}), 503)
    assert len(ship.recorder.edits) == 0


@pytest.mark.parametrize("path", ["", "/p", "/p/occurrences"])
async def test_an_unknown_problem_or_parameter_is_a_problem_document(client, path):
    if path:
        assert problem(await client.get(f"{PROBLEMS}{path}"), 404) == "there is no problem p"
        return
    for query in ("times=0", "open=perhaps", "limit=0", "cursor=zzz"):
        problem(await client.get(f"{PROBLEMS}?{query}"), 422)


async def test_two_edits_at_once_are_one_after_the_other(ship, client):
    await ship.after(*(created(f"i{n}", n, **said(f"p{n}")) for n in range(4)))
    bodies = ((1, "p0"), (2, "p1"), (3, "p2"))
    answers = await asyncio.gather(
        *(client.post(f"{PROBLEMS}/p{n}/merge", json={"into": into}) for n, into in bodies)
    )
    assert {answer.status_code for answer in answers} == {200}
    times = [fact.ts for fact in ship.bus.published]
    assert times == sorted(set(times))
    assert (await client.get(f"{PROBLEMS}/p0")).json()["incidents"] == 4


# -- after a kill ----------------------------------------------------------------------------------


async def test_an_edit_whose_row_a_kill_kept_from_the_store_is_known_again(ship, client):
    await chronic(ship)
    await ship.after(created("b1", 300, **said("b")))
    assert (await client.post(f"{PROBLEMS}/b/merge", json={"into": "p"})).status_code == 200
    ship.store.edited.clear()
    for bus in (ship.bus, MemoryBus()):  # from the stream, then from the table
        reborn = Recorder(ship.store)
        await reborn.recover(bus)
        assert reborn.edits.homes.of("b") == "p"
    assert len(ship.store.edited) == 1


async def test_facts_that_come_again_leave_each_occurrence_once():
    store = MemoryStore()
    facts = (
        created("i1", 1, **said("p")),
        cleared(2, "i1"),
        updated(3, 90, incident="i1", reopens=True, **said("p", 2)),
        cleared(4, "i1"),
    )
    for cut in range(len(facts) + 1):  # killed after each, then all come again
        for some in (facts[:cut], facts):
            recorder = Recorder(store)
            recorder.recovered = True
            await handle(recorder, *some)
            await recorder.write()
        rows = {(r.occurrence, r.began, r.ending) for r in store.occurrences.values()}
        assert {(number, ending) for number, _, ending in rows} == {
            (1, "recovered"),
            (2, "recovered"),
        }
        assert len(store.occurrences) == 2
        store = MemoryStore()


class Cut:
    """ClickHouse that a kill leaves with the rows of the first *whole* inserts."""

    def __init__(self, whole: int) -> None:
        self.whole, self.tables = whole, []

    async def insert(self, table: str, columns, rows, *, token: str) -> None:
        if len(self.tables) == self.whole:
            raise Unavailable("killed")
        self.tables.append(table)


@pytest.mark.parametrize("whole", range(3))
async def test_no_incident_is_stored_before_its_occurrences(whole):
    """Otherwise its facts, when they come again, would have nothing new to say of them."""
    recorder, cut = Recorder(MemoryStore()), Cut(whole)
    recorder.recovered = True
    await handle(recorder, created("i1", 1, **said("p")))
    with pytest.raises(Unavailable):
        await ClickHouseStore(cut).write(await recorder.waiting.batch())  # type: ignore[arg-type]
    assert cut.tables[:1] in ([], ["aiops.problem_occurrences"])


def test_what_changed_again_meanwhile_waits_on():
    waiting = Waiting()
    first = evolve(None, created("i1", 1, **said("p")))
    waiting.add_incident(first)
    taken = waiting.taken()
    second = evolve(first, updated(2, 90, incident="i1", **said("p", 2)))
    waiting.add_incident(second, received(created()).key, first)
    waiting.remove(taken)
    rows = waiting.incidents["i1"].occurrences
    assert {(number, row.ended is None) for (_, number), row in rows.items()} == {
        (1, False),
        (2, True),
    }


# -- homes -----------------------------------------------------------------------------------------


def test_edits_are_in_force_in_the_order_of_their_times():
    edits = ProblemEdits()
    chain = [merge_fact("a", "b", 1), merge_fact("b", "c", 2), merge_fact("c", "d", 3)]
    edits.add(reversed(chain))
    assert [edits.homes.of(one) for one in "abcdx"] == ["d", "d", "d", "d", "x"]
    assert edits.homes.edited == {"d"}
    assert (edits.changes_of("b"), edits.changes_of("x")) == (2, 0)


@pytest.mark.parametrize(
    ("named", "known", "is_edited", "times"),
    [(43, 12, False, 43), (1, 3, False, 3), (5, 4, True, 4), (5, 0, True, 5)],
)
def test_how_often_it_came(named, known, is_edited, times):
    assert times_of(named, known, is_edited) == times


# --- spreads


async def spread(ship: Platform, *devices: str) -> None:
    """The same fault on each of *devices*."""
    for n, device in enumerate(devices, start=1):
        member = evidence(n, device_id=device)
        named = said(f"p-{device}", kind="k", spread="s")
        title = f"Fan failed on {device}"
        await ship.after(created(f"i-{device}", n, evidence=(member,), title=title, **named))


async def test_problems_of_one_kind_on_many_devices_are_one_entry(ship, client):
    await spread(ship, "sw-1", "sw-2")
    every = {"times": 1}
    two = (await client.get(PROBLEMS, params=every)).json()["items"]
    assert [(one["id"], one["spread"]) for one in two] == [("p-sw-2", "s"), ("p-sw-1", "s")]
    await spread(ship, "sw-1", "sw-2", "sw-3")
    [one] = (await client.get(PROBLEMS, params=every)).json()["items"]
    assert (one["id"], one["title"]) == ("s", "Fan failed on 3 devices")
    assert (one["problems"], one["spread_devices"], one["times"]) == (3, 3, 3)
    assert one["first_seen"] == "2026-06-01T12:00:01Z"
    unfolded = (await client.get(PROBLEMS, params={"spread": "s"})).json()["items"]
    assert [item["id"] for item in unfolded] == ["p-sw-3", "p-sw-2", "p-sw-1"]
    often = (await client.get(PROBLEMS, params={"spread": "s", "times": 2})).json()["items"]
    assert often == []


async def test_a_spread_is_shown_with_its_parts_and_each_part_by_its_own_id(ship, client):
    await spread(ship, "sw-1", "sw-2", "sw-3")
    shown = (await client.get(f"{PROBLEMS}/s")).json()
    assert [part["id"] for part in shown["parts"]] == ["p-sw-3", "p-sw-2", "p-sw-1"]
    assert [one["id"] for one in shown["newest_incidents"]] == ["i-sw-3", "i-sw-2", "i-sw-1"]
    assert shown["occurrences"] == [] and shown["devices"] == ["sw-1", "sw-2", "sw-3"]
    part = (await client.get(f"{PROBLEMS}/p-sw-2")).json()
    assert (part["title"], part["parts"], len(part["occurrences"])) == ("Fan failed on sw-2", [], 1)


async def test_a_spread_that_has_become_narrow_is_still_found_by_its_id(ship, client):
    await spread(ship, "sw-1")
    shown = (await client.get(f"{PROBLEMS}/s")).json()
    assert (shown["id"], len(shown["parts"])) == ("s", 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [("s/merge", {"into": "p-sw-1"}), ("p-sw-1/merge", {"into": "s"}), ("s/split", None)],
)
async def test_a_spread_is_neither_merged_nor_split_as_a_whole(ship, client, path, body):
    await spread(ship, "sw-1", "sw-2", "sw-3")
    answer = await client.post(f"{PROBLEMS}/{path}", json=body or {"incident_id": "i-sw-1"})
    assert problem(answer, 409) == "s is a spread of 3 problems: name one of them"
    assert ship.bus.published == []


async def test_incidents_say_on_how_many_devices_the_same_is(ship, client):
    await spread(ship, "sw-1", "sw-2")
    incidents = "/api/v3/incidents"
    few = (await client.get(incidents)).json()["items"]
    assert {(one["spread"], one["spread_devices"]) for one in few} == {("s", 0)}
    await spread(ship, "sw-1", "sw-2", "sw-3")
    await ship.after(created("other", 9, **said("q")))
    found = (await client.get(incidents, params={"limit": 2})).json()["items"]
    assert [(one["id"], one["spread"], one["spread_devices"]) for one in found] == [
        ("other", None, 0),
        ("i-sw-3", "s", 3),
    ]
    ours = (await client.get(incidents, params={"spread": "s"})).json()["items"]
    assert [one["id"] for one in ours] == ["i-sw-3", "i-sw-2", "i-sw-1"]


async def test_while_the_store_is_away_memory_says_on_how_many_devices_it_is(ship, client):
    await spread(ship, "sw-1", "sw-2", "sw-3")
    ship.store.problem = "clickhouse is away"
    answer = (await client.get("/api/v3/incidents")).json()
    assert "clickhouse is away" in answer["partial"]
    assert {one["spread_devices"] for one in answer["items"]} == {3}
    problem(await client.get(f"{PROBLEMS}/s"), 503)


async def test_a_width_that_takes_too_long_is_said_to_be_unknown(ship, client, monkeypatch):
    await spread(ship, "sw-1", "sw-2", "sw-3")

    async def slow(*_: object) -> None:
        raise TookTooLong("reading took longer than 30 s; ask for less")

    monkeypatch.setattr(ship.store, "spreads", slow)
    answer = (await client.get("/api/v3/incidents")).json()
    assert len(answer["items"]) == 3
    assert "on how many devices it is: reading took longer than 30 s" in answer["partial"]


async def test_after_a_restart_a_spread_is_what_is_stored(ship):
    await spread(ship, "sw-1", "sw-2", "sw-3")
    again = await recovered(platform(ship.store))
    async with again.client() as client:
        [one] = (await client.get(PROBLEMS, params={"times": 1})).json()["items"]
        assert (one["id"], one["spread_devices"]) == ("s", 3)
        await spread(again, "sw-1", "sw-2", "sw-3", "sw-4")
        [one] = (await client.get(PROBLEMS, params={"times": 1})).json()["items"]
    assert (one["id"], one["title"]) == ("s", "Fan failed on 4 devices")
