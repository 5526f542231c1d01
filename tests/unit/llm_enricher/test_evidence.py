"""Lines, declarations and other incidents -> the facts around an incident, within a budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiops_core.adapters.clickhouse import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.models import Incident
from aiops_core.suppression.ship import (
    LinkOutage,
    MaintenanceWindow,
    ModeChange,
    ModeLog,
    Ship,
)
from llm_enricher.evidence import gatherer as gathering
from llm_enricher.evidence.gatherer import ContextGatherer
from llm_enricher.evidence.lines import ALIKE_KEPT, Around, StoredLine, facts_of
from llm_enricher.evidence.objects import mentions, objects_of
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules.samples import NOW, Sample, question_of

POLICY = LlmPolicy.load(Path(__file__).parents[3] / "policies").evidence


def line(n: int, text: str, device: str = "sw-1", level: str = "info", at: int = -30) -> StoredLine:
    return StoredLine(f"t{n}", NOW + timedelta(seconds=at), device, "syslog", level, text)


def incident(*members: str, **fields: Any) -> Incident:
    asked = members or ("sw-1 link link_down: Interface Gi1/0/7, changed state to down",)
    return question_of(Sample(members=asked)).incident.model_copy(update=fields)


AROUND = Around(frozenset({"sw-1"}), ("Gi1/0/7",), NOW)


# ------------------------------------------------------------------------------ what a line is
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("%SYS-5-CONFIG_I: Configured from console by netadmin on vty0", "change"),
        ("dnf: package postgresql-15.4 installed, upgrade complete", "change"),
        ("Accepted publickey for ops from 10.1.1.4 port 51000 ssh2", "login"),
        ("wan probe 8.8.8.8 packet loss 0 %", "probe"),
        ("maintenance mode started by chief", "maintenance"),
        ("battery voltage 27.1 V", "reading"),
        ("the cat sat on the mat", "line"),
    ],
)
def test_a_line_is_what_its_words_say(text, kind):
    [fact] = facts_of([line(1, text)], AROUND, POLICY)
    assert fact.kind == kind
    assert fact.id == "line:t1"


@pytest.mark.parametrize(
    ("text", "level", "fine"),
    [
        ("shore probe packet loss 0 %", "info", True),
        ("md0 state is clean", "info", True),
        ("shore probe packet loss 14 %", "info", False),
        ("peer is not established", "info", False),
        ("status: ok", "error", False),  # the level speaks against it
        ("the cat sat on the mat", "info", False),
    ],
)
def test_what_was_checked_and_is_as_it_should_be_is_marked(text, level, fine):
    [fact] = facts_of([line(1, text, level=level)], AROUND, POLICY)
    assert fact.fine is fine


def test_a_line_of_another_device_counts_when_it_names_the_object_or_is_a_signal():
    lines = [
        line(1, "Gi1/0/7 flow control off", device="core-1"),
        line(2, "shore probe packet loss 3 %", device="probe-1"),
        line(3, "user logged something", device="pc-9"),
        line(4, "Gi1/0/77 flow control off", device="core-1"),
    ]
    assert {fact.id for fact in facts_of(lines, AROUND, POLICY)} == {"line:t1", "line:t2"}


def test_what_names_the_object_is_kept_rather_than_what_is_loud():
    loud = [line(n, f"word{'x' * n} happened", level="error") for n in range(60)]
    told = facts_of([*loud, line(99, "Gi1/0/7 shut by netadmin")], AROUND, POLICY)
    assert len(told) == POLICY.facts
    assert "line:t99" in {fact.id for fact in told}


def test_lines_that_differ_in_numbers_only_leave_room_for_others():
    lines = [line(n, f"counter {n}", at=-n) for n in range(20)]
    assert len(facts_of(lines, AROUND, POLICY)) == ALIKE_KEPT


@pytest.mark.parametrize(
    ("msg", "names"),
    [
        ("Interface GigabitEthernet1/0/24, changed state", {"GigabitEthernet1/0/24"}),
        ("I/O error, dev sdc, sector 1", {"sdc"}),
        ("nginx.service failed", {"nginx.service"}),
        ("connect to 10.1.2.3 failed", {"10.1.2.3"}),
        ("blocked by process 4121", {"4121"}),
        ("write to /data/pg failed", {"/data/pg"}),
        ("MAC 00:11:22:33:44:55 moved", {"00:11:22:33:44:55"}),
        ("all is well", set()),
    ],
)
def test_the_objects_of_a_message_are_found(msg, names):
    [member] = incident(f"box-1 foo app/service_error: {msg}").evidence
    assert set(objects_of([member])) == names


def test_a_name_is_not_found_as_a_part_of_a_longer_one():
    assert mentions("link Gi1/0/7 down", ["gi1/0/7"])
    assert not mentions("link Gi1/0/77 down", ["Gi1/0/7"])


# --------------------------------------------------------------------------------- the gatherer
class Lines:
    """What ClickHouse has; *trouble* is raised, after *delay* seconds."""

    def __init__(
        self, *lines: StoredLine, trouble: Exception | None = None, delay: float = 0
    ) -> None:
        self.lines, self.trouble, self.delay = lines, trouble, delay
        self.asked: list[dict[str, Any]] = []

    async def around(self, **asked: Any) -> Sequence[StoredLine]:
        self.asked.append(asked)
        await asyncio.sleep(self.delay)
        if self.trouble:
            raise self.trouble
        return list(self.lines)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gatherer(lines: Lines, ship: Ship | None = None, clock: Clock | None = None) -> ContextGatherer:
    return ContextGatherer(lines, POLICY, lambda: ship or Ship(), clock or Clock())  # type: ignore[arg-type]


async def test_the_facts_are_told_in_the_order_of_their_time():
    lines = Lines(line(1, "Gi1/0/7 up", at=-10), line(2, "Gi1/0/7 negotiated", at=-50))
    gathered = await gatherer(lines).gathered(incident())
    assert [fact.id for fact in gathered.facts] == ["line:t2", "line:t1"]
    assert gathered.missing == ()


async def test_it_is_asked_about_the_devices_the_objects_and_what_they_depend_on():
    asked = incident()
    upstream = asked.evidence[0].model_copy(update={"upstream": ("core-1", "a", "b", "c", "d")})
    lines = Lines()
    await gatherer(lines).gathered(asked.model_copy(update={"evidence": (upstream,)}))
    [question] = lines.asked
    assert set(question["devices"]) == {"sw-1", "core-1", "a", "b"}
    assert "Gi1/0/7" in question["objects"]
    assert question["members"] == ["line-0"]
    assert question["near"] == NOW - POLICY.before
    assert question["since"] == NOW - POLICY.changes_before


@pytest.mark.parametrize(
    "trouble",
    [Unavailable("clickhouse refused"), QueryFailed("no such table", 60), TimeoutError()],
)
async def test_without_clickhouse_its_facts_are_missing_and_nothing_else(trouble):
    window = MaintenanceWindow(
        id="m1",
        start=NOW - timedelta(hours=1),
        end=NOW + timedelta(hours=1),
        devices=("sw-*",),
        owner="chief",
        reason="new cables",
    )
    told = await gatherer(Lines(trouble=trouble), Ship(maintenance=(window,))).gathered(incident())
    assert told.missing == ("clickhouse",)
    assert [fact.id for fact in told.facts] == ["maintenance:m1"]
    assert "maintenance by chief" in told.facts[0].text


async def test_it_takes_no_longer_than_its_budget():
    lines = Lines(line(1, "Gi1/0/7 up"), delay=5)
    async with asyncio.timeout(2):
        told = await gatherer(lines).gathered(incident(), budget=0.02)
    assert told.missing == ("clickhouse",)


async def test_after_a_failure_it_is_not_asked_for_a_while_and_what_it_said_before_is_kept():
    clock, lines = Clock(), Lines(line(1, "Gi1/0/7 negotiated"))
    one = gatherer(lines, clock=clock)
    assert len((await one.gathered(incident())).facts) == 1
    lines.trouble = Unavailable("clickhouse refused")
    for _ in range(3):
        told = await one.gathered(incident())
        assert [fact.id for fact in told.facts] == ["line:t1"]
        assert told.missing == ("clickhouse",)
    assert len(lines.asked) == 2
    lines.trouble = None
    clock.now += POLICY.pause.total_seconds()
    assert (await one.gathered(incident())).missing == ()


async def test_who_has_more_time_asks_although_it_was_too_slow_for_the_first_answer():
    lines = Lines(line(1, "Gi1/0/7 negotiated"), delay=0.1)
    one = gatherer(lines)
    assert (await one.gathered(incident(), budget=0.02)).missing == ("clickhouse",)
    assert (await one.gathered(incident(), budget=0.02)).missing == ("clickhouse",)
    assert len(lines.asked) == 1
    told = await one.gathered(incident(), budget=1.6)
    assert [fact.id for fact in told.facts] == ["line:t1"]
    assert told.missing == ()


async def test_reading_lines_holds_up_nobody_and_counts_as_time(monkeypatch):
    def slowly(*what):
        time.sleep(0.3)
        return facts_of(*what)

    monkeypatch.setattr(gathering, "facts_of", slowly)
    lines = Lines(line(1, "Gi1/0/7 negotiated"))
    one = gatherer(lines)
    started = time.perf_counter()
    told = await one.gathered(incident(), budget=0.02)
    assert time.perf_counter() - started < 0.25
    assert (told.facts, told.missing) == ((), ("clickhouse",))
    monkeypatch.setattr(gathering, "facts_of", facts_of)
    await one.gathered(incident())  # as ClickHouse has answered, there is no pause
    assert len(lines.asked) == 2


async def test_after_a_kill_what_is_in_clickhouse_is_found_again():
    lines = Lines(line(1, "Gi1/0/7 negotiated"))
    before = await gatherer(lines).gathered(incident())
    assert await gatherer(lines).gathered(incident()) == before


async def test_the_mode_of_the_ship_and_declared_outages_are_facts():
    ship = Ship(
        mode=ModeLog(changes=(ModeChange(mode="port", since=NOW - timedelta(days=1)),)),
        outages=(
            LinkOutage(
                id="o1",
                start=NOW - timedelta(hours=1),
                end=NOW + timedelta(hours=1),
                device_id="modem-1",
                kind="planned",
                reason="teleport maintenance",
                source="NOC",
            ),
        ),
    )
    facts = (await gatherer(Lines(), ship).gathered(incident(), (), 0.1)).facts
    assert [fact.kind for fact in facts] == ["maintenance", "maintenance"]
    assert "mode port" in facts[0].text and facts[0].fine
    assert "as NOC says: teleport maintenance" in facts[1].text


async def test_maintenance_of_others_or_of_another_day_is_no_fact():
    def window(id_: str, devices: tuple[str, ...], ago: timedelta) -> MaintenanceWindow:
        start = NOW - ago
        end = start + timedelta(hours=1)
        return MaintenanceWindow(
            id=id_, start=start, end=end, devices=devices, owner="chief", reason="x"
        )

    ship = Ship(
        maintenance=(
            window("others", ("srv-*",), timedelta(minutes=5)),
            window("old", ("sw-1",), timedelta(days=1)),
        )
    )
    assert (await gatherer(Lines(), ship).gathered(incident(), (), 0.1)).facts == ()


async def test_members_of_another_incident_on_the_same_device_are_neighbours():
    one = gatherer(Lines())
    [other] = incident("sw-1 env temperature: 71 C").evidence
    other = other.model_copy(update={"anomaly_id": "other", "ts": NOW - timedelta(minutes=1)})
    await one.gathered(incident(id="i0", evidence=(other,)))
    [fact] = (await one.gathered(incident())).facts
    assert (fact.kind, fact.id, fact.text) == ("neighbour", "anomaly:other", "71 C")


async def test_own_members_are_no_neighbours():
    one = gatherer(Lines())
    await one.gathered(incident())
    assert (await one.gathered(incident())).facts == ()
