"""The simulated ship: the same seed, the same voyage; faults follow the graph; truth tells all."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from aiops_core.models import Device, Level, LogEntry, MetricSample
from aiops_lab.commands import simulate
from aiops_lab.simulator.driver import play, start_of
from aiops_lab.simulator.faults import ANY, FAULTS
from aiops_lab.simulator.inventory import SHIP, SimulatedShip
from aiops_lab.simulator.readings import GAUGES, LIMITS
from aiops_lab.simulator.scenario import NAMES, SCENARIOS, Event, Injection, Scenario, named, split
from aiops_lab.simulator.templates import FIELDS, HARMLESS_ERRORS, NORMAL, LineTemplate, render
from aiops_lab.simulator.traffic import SimulatedLine, SimulatedReading
from aiops_lab.simulator.truth import TruthRole
from aiops_lab.simulator.voyage import Voyage

T0 = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
RUN = Voyage(T0, "ship-07", "test")
FAULTY = (TruthRole.CAUSE, TruthRole.SYMPTOM)


def logs(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event.body, SimulatedLine)]


def alone(fault: str, **fields: float) -> Scenario:
    return Scenario(
        FAULTS[fault].duration + 40, (Injection(fault, 5),), rate=fields.get("rate", 2.0), seed=3
    )


# --- the ship


def test_ship_has_about_fifty_devices_of_known_types() -> None:
    assert 40 <= len(SHIP.devices) <= 55
    assert all(device.type in NORMAL and device.type in GAUGES for device in SHIP.devices)
    assert all(device.name and device.site and device.owner for device in SHIP.devices)
    assert len({device.labels["ip"] for device in SHIP.devices}) == len(SHIP.devices)


def test_upstream_and_downstream_are_each_other_s_mirror() -> None:
    for device in SHIP.devices:
        assert all(device.id in SHIP.children_of(parent) for parent in device.upstream)
        assert all(device.id in SHIP.above(below) for below in SHIP.below(device.id))


def test_database_needs_hypervisor_needs_switch_needs_core() -> None:
    hops = SHIP.above("db-01")
    assert (hops["hv-01"], hops["sw-srv-01"], hops["sw-core-01"]) == (1, 2, 3)


def test_ship_refuses_cycles_and_unknown_parents() -> None:
    with pytest.raises(ValueError, match="a cycle"):
        SimulatedShip([Device(id="a", upstream=("b",)), Device(id="b", upstream=("a",))])
    with pytest.raises(ValueError, match="which is unknown"):
        SimulatedShip([Device(id="a", upstream=("ghost",))])
    with pytest.raises(LookupError, match="no device 'ghost'"):
        SHIP["ghost"]


# --- wording


def every_template() -> list[LineTemplate]:
    normal = [
        line for table in (NORMAL, HARMLESS_ERRORS) for many in table.values() for line in many
    ]
    effects = [e for f in FAULTS.values() for e in (f.root, *f.downstream.values())]
    said = [t for e in effects for t in (*e.opening, *e.worse, *e.ongoing, *e.recovery)]
    return normal + said


def test_every_field_of_every_template_is_known() -> None:
    used = {name for t in every_template() for name in re.findall(r"\{(\w+)\}", t.text)}
    assert used <= set(FIELDS)


def test_faults_touch_only_types_and_metrics_that_exist() -> None:
    types = {device.type for device in SHIP.devices}
    for fault in FAULTS.values():
        assert fault.roots <= types and set(fault.downstream) <= types | {ANY}
        assert SHIP[fault.device].type in fault.roots
        for kind, effect in fault.downstream.items():
            assert set(effect.peaks) <= {gauge.metric for gauge in GAUGES.get(kind, ())}


def test_recoveries_are_good_news_and_the_onset_is_not() -> None:
    for fault in FAULTS.values():
        for effect in (fault.root, *fault.downstream.values()):
            assert all(line.level is Level.INFO for line in effect.recovery)
            assert all(line.level > Level.INFO for line in (*effect.opening, *effect.ongoing))


# --- normal traffic


def test_same_seed_same_voyage_other_seed_another() -> None:
    first, again = list(named("demo", seed=4)), list(named("demo", seed=4))
    assert first == again
    assert first != list(named("demo", seed=5))


def test_quiet_ship_has_no_truth_but_noise() -> None:
    scenario = named("quiet", rate=100)
    assert scenario.episodes == ()
    truths = [event.truth for event in scenario if event.truth]
    assert all(truth.role is TruthRole.NOISE and truth.episode is None for truth in truths)


def test_normal_errors_are_rare_and_marked_as_noise() -> None:
    lines = logs(list(named("quiet", rate=200)))
    errors = [event for event in lines if event.body.level >= Level.ERROR]  # type: ignore[union-attr]
    assert 0 < len(errors) <= 0.002 * len(lines)
    assert all(event.truth for event in errors)


@pytest.mark.parametrize("rate", [5, 50, 400])
def test_rate_is_about_as_asked(rate: float) -> None:
    lines = logs(list(Scenario(60, rate=rate)))
    assert len(lines) == pytest.approx(60 * rate, rel=0.15)


def test_without_rate_and_interval_only_the_fault_speaks() -> None:
    scenario = Scenario(60, (Injection("disk_full", 5),), rate=0, interval=0)
    assert all(event.truth and event.truth.episode for event in scenario)


def test_everything_is_in_order_and_numbered() -> None:
    events = list(named("overlap"))
    assert [event.sequence for event in events] == list(range(len(events)))
    assert all(one.offset <= other.offset for one, other in pairwise(events))
    assert events[-1].offset < SCENARIOS["overlap"].duration


@pytest.mark.parametrize("hour", [4.0, 10.0, 16.0, 22.0])
def test_normal_readings_keep_their_distance_from_the_limits(hour: float) -> None:
    spans: dict[str, tuple[float, float]] = {}
    for event in Scenario(1200, rate=0, hour=hour, seed=int(hour)):
        assert isinstance(event.body, SimulatedReading)
        low, high = spans.get(event.body.metric, (inf, -inf))
        spans[event.body.metric] = min(low, event.body.value), max(high, event.body.value)
    assert set(spans) == set(LIMITS)
    for metric, (low, high) in spans.items():
        limit = LIMITS[metric]
        mean = (low + high) / 2
        worst = high if limit.op == ">" else low
        assert not limit.broken_by(worst + 0.25 * (limit.value - mean)), metric


# --- faults


@pytest.mark.parametrize("name", FAULTS)
def test_fault_hits_its_root_and_only_what_hangs_on_it(name: str) -> None:
    scenario = alone(name)
    (episode,) = scenario.episodes
    told = [event for event in scenario if event.truth and event.truth.episode]
    assert episode.root_device == FAULTS[name].device == episode.affected[0]
    assert {event.device.id for event in told} <= SHIP.branch(episode.root_device)
    assert {event.device.id for event in logs(told)} == set(episode.affected)
    for event in told:
        assert event.truth
        on_root = event.device.id == episode.root_device
        assert event.truth.role is not (TruthRole.SYMPTOM if on_root else TruthRole.CAUSE)
        assert event.truth.root == episode.root_device


@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"storm"}))
def test_fault_reaches_its_dependants_after_the_root(name: str) -> None:
    lines = logs(list(alone(name)))
    first: dict[TruthRole, float] = {}
    for event in lines:
        if event.truth and event.truth.episode:
            first.setdefault(event.truth.role, event.offset)
    assert first[TruthRole.CAUSE] == 5.0
    assert 0.5 <= first[TruthRole.SYMPTOM] - first[TruthRole.CAUSE] <= 10


@pytest.mark.parametrize("name", FAULTS)
def test_episode_s_bounds_hold_its_events_and_its_recovery_comes_last(name: str) -> None:
    scenario = alone(name)
    (episode,) = scenario.episodes
    told = [event for event in scenario if event.truth and event.truth.episode]
    assert len(logs(told)) == episode.lines
    assert all(episode.start <= event.offset <= episode.end for event in told)
    by_root = [event for event in logs(told) if event.device.id == episode.root_device]
    assert by_root[-1].truth and by_root[-1].truth.role is TruthRole.RECOVERY
    assert by_root[-1].offset > episode.healed


@pytest.mark.parametrize("name", FAULTS)
def test_fault_breaks_a_limit_for_two_readings_in_a_row(name: str) -> None:
    broken = Counter(
        (event.device.id, event.body.metric)
        for event in alone(name)
        if isinstance(event.body, SimulatedReading)
        and event.truth
        and event.truth.role in FAULTY
        and LIMITS[event.body.metric].broken_by(event.body.value)
    )
    root = FAULTS[name].device
    assert {metric for device, metric in broken if device == root} == set(FAULTS[name].root.peaks)
    assert all(count >= 2 for (device, _), count in broken.items() if device == root)


def test_readings_break_limits_only_with_truth() -> None:
    for event in named("demo"):
        if isinstance(event.body, SimulatedReading):
            broken = LIMITS[event.body.metric].broken_by(event.body.value)
            assert broken == bool(event.truth and event.truth.role in FAULTY)


def test_two_at_once_are_two_episodes_on_independent_branches() -> None:
    one, other = named("two_at_once").episodes
    assert one.start == other.start
    assert set(one.affected).isdisjoint(other.affected)
    with pytest.raises(ValueError, match="not independent"):
        split(Injection("two_at_once", 0, "sw-core-01+srv-file-01"), SHIP)


def test_demo_starts_soon_and_shows_all_faults_apart() -> None:
    episodes = named("demo").episodes
    assert episodes[0].start <= 5
    assert len(episodes) == 8
    assert all(one.end <= SCENARIOS["demo"].duration for one in episodes)
    devices = [device for one in episodes for device in one.affected]
    twice = [device for device, count in Counter(devices).items() if count > 1]
    assert twice == []


def test_cascade_reaches_far() -> None:
    (episode,) = named("cascade").episodes
    assert len(episode.affected) > 20


def test_storm_is_thousands_of_lines_of_one_device() -> None:
    (episode,) = named("storm").episodes
    assert episode.lines > 4500
    assert episode.affected == ("eng-gw-01",)


def test_flapping_goes_down_and_up_in_one_episode() -> None:
    scenario = named("flapping")
    (episode,) = scenario.episodes
    told = [e for e in logs(list(scenario)) if e.truth and e.device.id == episode.root_device]
    states = [e.truth.role for e in told if e.truth and "state to" in e.body.text]  # type: ignore[union-attr]
    assert states == [TruthRole.CAUSE, TruthRole.RECOVERY] * 8


def test_noise_belongs_to_no_episode() -> None:
    scenario = named("noise")
    strays = [event for event in scenario if event.truth]
    assert scenario.episodes == ()
    assert len(strays) > 30
    assert len({event.device.id for event in strays}) > 15


def test_dead_switch_says_nothing_normal() -> None:
    scenario = alone("switch_down", rate=300.0)
    (episode,) = scenario.episodes
    during = [e for e in logs(list(scenario)) if episode.start <= e.offset < episode.healed]
    assert all(e.truth for e in during if e.device.id == episode.root_device)


def test_impossible_root_is_refused() -> None:
    with pytest.raises(ValueError, match="rain_fade cannot happen to db-01"):
        Scenario(60, (Injection("rain_fade", 5, "db-01"),)).episodes  # noqa: B018


def test_fault_is_cut_at_the_end_of_the_run() -> None:
    scenario = Scenario(12, (Injection("rain_fade", 5), Injection("disk_full", 30)))
    (episode,) = scenario.episodes
    assert episode.end == 12
    told = [event for event in scenario if event.truth and event.truth.episode]
    assert len(logs(told)) == episode.lines


# --- messages


def test_messages_are_complete_and_ids_belong_to_the_run() -> None:
    events = list(named("demo"))
    messages = [RUN.message(event) for event in events]
    assert len({message.tracking_id for message in messages}) == len(messages)
    for event, message in zip(events, messages, strict=True):
        assert message.ts == T0 + timedelta(seconds=event.offset) == message.stages["ingest"]
        assert (message.ship_id, message.device_id) == ("ship-07", event.device.id)
        assert "episode" not in message.model_dump_json()
    other = Voyage(T0, "ship-07", "other").tracking_id(events[0])
    assert other != messages[0].tracking_id


def test_messages_take_the_real_time_of_their_arrival() -> None:
    (event, *_) = named("quiet")
    assert RUN.message(event, ingest=T0 + timedelta(hours=1)).stages["ingest"].hour == 11


def test_rendering_fills_every_field() -> None:

    assert all("{" not in render(t.text, Random(1)) for t in every_template())


# --- driver


class Stopwatch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, int]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def emit(self, entries: Sequence[LogEntry | MetricSample]) -> None:
        self.sent.append((self.now, len(entries)))


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_play_keeps_the_pace(speed: float) -> None:
    watch, scenario = Stopwatch(), named("disk_full", duration=20)
    summary = await play(
        scenario, watch.emit, RUN, speed=speed, clock=watch.clock, sleep=watch.sleep
    )
    assert summary.elapsed == pytest.approx(20 / speed, abs=0.1)
    assert sum(count for _, count in watch.sent) == len(list(scenario))
    assert summary.lines + summary.readings == len(list(scenario))
    wrong = {TruthRole.CAUSE, TruthRole.SYMPTOM}
    assert summary.faulty == sum(bool(e.truth and e.truth.role in wrong) for e in scenario) > 0


async def test_play_as_fast_as_accepted_never_waits() -> None:
    watch, seen = Stopwatch(), []
    await play(
        named("quiet"),
        watch.emit,
        RUN,
        speed=inf,
        clock=watch.clock,
        sleep=watch.sleep,
        progress=lambda summary: seen.append(summary.offset),
    )
    assert watch.now == 0
    assert max(count for _, count in watch.sent) == 500
    assert seen == sorted(seen) and len(seen) == len(watch.sent)


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0, inf])
def test_no_event_is_ahead_of_its_time(speed: float) -> None:
    t0 = start_of(100, speed, T0)
    for offset in (0, 50, 100):
        assert t0 + timedelta(seconds=offset) <= T0 + timedelta(seconds=offset / speed)


# --- command


class Platform:
    """The sink and the inventory of a ship, in memory."""

    def __init__(self) -> None:
        self.sent: list[LogEntry | MetricSample] = []
        self.devices: list[Device] = []

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None:
        self.sent.extend(entries)

    async def load(self, devices: Sequence[Device]) -> None:
        assert not self.sent, "the inventory comes before the first message"
        self.devices.extend(devices)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    monkeypatch.setattr(simulate, "publishing", lambda: nullcontext(platform.send))
    monkeypatch.setattr(simulate, "load_devices", platform.load)
    return platform


def aiops_simulate(*options: str) -> Result:
    return CliRunner().invoke(simulate.app, options, env={"COLUMNS": "200"})


def test_list_names_everything() -> None:
    result = aiops_simulate("--list")
    assert result.exit_code == 0
    assert all(name in result.output for name in (*SCENARIOS, *NAMES))


def test_out_truth_and_devices_fit_together(tmp_path: Path) -> None:
    out, truth, devices = tmp_path / "out.jsonl", tmp_path / "truth.jsonl", tmp_path / "d.csv"
    options = ["--fault", "disk_full", "--speed", "inf", "--start", "2026-03-01T10:00:00"]
    files = ["--out", str(out), "--truth", str(truth), "--devices-out", str(devices)]
    result = aiops_simulate(*options, *files, "--json")
    assert result.exit_code == 0, result.output
    messages = {m["tracking_id"]: m for m in map(json.loads, out.read_text().splitlines())}
    records = [json.loads(line) for line in truth.read_text().splitlines()]
    (run, episode, *lines) = records
    assert (run["record"], episode["record"]) == ("run", "episode")
    assert run["start"] == "2026-03-01T10:00:00+00:00"
    assert all(messages[line["tracking_id"]]["device_id"] == line["device"] for line in lines)
    mine = [line for line in lines if line["episode"] == episode["id"] and line["kind"] == "log"]
    assert len(mine) == episode["lines"]
    assert len(devices.read_text().splitlines()) == len(SHIP.devices) + 1
    assert json.loads(result.stdout)["episodes"] == [episode["id"]]


def test_same_start_gives_the_same_file(tmp_path: Path, platform: Platform) -> None:
    texts = []
    for name in ("a", "b"):
        truth = tmp_path / name
        options = ["--scenario", "rain_fade", "--speed", "inf", "--start", "2026-03-01T10:00:00"]
        aiops_simulate(*options, "--no-inventory", "--truth", str(truth))
        texts.append(truth.read_text())
    assert texts[0] == texts[1] != ""


def test_publishes_through_the_sink_of_the_platform(platform: Platform) -> None:
    result = aiops_simulate("--scenario", "two_at_once", "--speed", "inf")
    assert result.exit_code == 0, result.output
    assert {type(message).__name__ for message in platform.sent} == {"LogEntry", "MetricSample"}
    assert "2 episodes" in result.output


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        ([], SHIP.devices),
        (["--no-inventory"], ()),
        (["--out", "messages"], ()),  # nothing is published, so nobody needs to know the devices
    ],
)
def test_the_platform_learns_the_devices_before_the_first_message(
    options: list[str],
    devices: Sequence[Device],
    platform: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["--scenario", "quiet", "--duration", "1", "--speed", "inf"]
    result = aiops_simulate(*quick, *options)
    assert result.exit_code == 0, result.output
    assert platform.devices == list(devices)


def test_messages_come_from_the_ship_of_the_settings_unless_told_otherwise(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPS_SHIP_ID", "aurora")
    quick = ["--scenario", "quiet", "--duration", "1", "--speed", "inf"]
    for options, ship in ([], "aurora"), (["--ship-id", "borealis"], "borealis"):
        platform.sent.clear()
        aiops_simulate(*quick, *options)
        assert {message.ship_id for message in platform.sent} == {ship}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--scenario", "sunshine"], "no scenario"),
        (["--fault", "meteor"], "no fault"),
        (["--fault", "rain_fade:db-01"], "cannot happen"),
        (["--fault", "rain_fade:ghost"], "no device"),
    ],
)
def test_mistakes_are_named(options: list[str], complaint: str) -> None:
    result = aiops_simulate(*options)
    assert result.exit_code == 2
    assert complaint in result.output


def test_fault_options_follow_one_another_unless_timed() -> None:
    first, second, third = simulate.injections_of(
        ["rain_fade", "disk_full:srv-mail-01", "storm@7.5"]
    )
    assert (first.at, second.at, third.at) == (5.0, 38.0, 7.5)
    assert second.device == "srv-mail-01"


def test_normal_traffic_can_do_without_errors() -> None:
    lines = logs(list(Scenario(120, rate=200, harmless=0)))
    assert all(event.body.level < Level.ERROR for event in lines)  # type: ignore[union-attr]
