"""``aiops demo``: a ship with faults on the whole fleet, and its incidents on the screen."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from rich.console import Console
from rich.live import Live

from aiops_cli.ingest.sink import open_sink
from aiops_cli.screen import milliseconds
from aiops_core.policy.settings import Settings
from aiops_lab.demo.data import TIMEOUT, Observer
from aiops_lab.demo.feed import flowing, load_inventory
from aiops_lab.demo.score import FaultVerdict, judge, summary, telling_ids
from aiops_lab.demo.view import Show, changes, incidents_table, score_table, screen
from aiops_lab.fleet.fleet import Fleet
from aiops_lab.fleet.plan import Plan
from aiops_lab.fleet.view import addresses, progress, stop_on_signals
from aiops_lab.simulator.driver import PlaySummary, play
from aiops_lab.simulator.inventory import SHIP
from aiops_lab.simulator.scenario import Scenario, named
from aiops_lab.simulator.voyage import Voyage

LOOK_EVERY = 1.0  # seconds; each look costs the store some queries
SETTLE = 20.0  # seconds that the last lines get to become incidents
ASK_AGAIN = 1.0  # seconds
VOYAGE = 7 * 86_400.0  # seconds of normal traffic after the scenario, for who goes on watching


@dataclass
class Demo:
    """One performance: *scenario* on the fleet of *plan*, shown on *console*."""

    plan: Plan
    console: Console
    scenario: Scenario = field(default_factory=lambda: named("demo"))
    once: bool = False

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._live: Live | None = None
        self._show = Show(self.plan.ship_id, self.plan.api_url)

    async def perform(self) -> bool:
        """Whether all simulated faults became incidents; without *once* True after Ctrl-C."""
        fleet = Fleet(self.plan, say=self._say)
        async with stop_on_signals(fleet), fleet:
            async with progress(fleet, self.console):
                await fleet.ready()
            if fleet.stopping:
                return not self.once
            self.console.print(addresses(fleet))
            self._say(f"fleet ready after {self._elapsed():.1f} s")
            done = await self._until_stopped(fleet)
        if not self.once:
            self.console.print(incidents_table(self._show.snapshot.incidents))
            self._numbers()
        return done

    async def _until_stopped(self, fleet: Fleet) -> bool:
        playing = asyncio.create_task(self._play())
        stopping = asyncio.create_task(fleet.stopped())
        try:
            await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return playing.result() if playing.done() else not self.once
        finally:
            for task in (playing, stopping):
                task.cancel()
            await asyncio.gather(playing, stopping, return_exceptions=True)

    async def _play(self) -> bool:
        await load_inventory(self.plan.api_url, SHIP.devices)
        run = self._run("demo")
        settings = self._settings()
        async with (
            httpx.AsyncClient(timeout=TIMEOUT, headers=settings.api_headers) as client,
            flowing(open_sink(settings)) as emit,
            self._shown(observer := Observer(client, self.plan, run.t0)),
        ):
            await play(self.scenario, emit, run, now=lambda: datetime.now(UTC), progress=self._sent)
            verdicts = await self._verdicts(observer, run)
            if not self.once:
                self._say(summary(verdicts))
                await play(
                    named("quiet", duration=VOYAGE),
                    emit,
                    self._run("quiet"),
                    now=lambda: datetime.now(UTC),
                )
        self._report(verdicts)
        return all(verdict.hit for verdict in verdicts)

    def _run(self, name: str) -> Voyage:
        t0 = datetime.now(UTC)
        return Voyage(t0, self.plan.ship_id, f"{self.plan.ship_id}/{name}/{t0.isoformat()}")

    def _settings(self) -> Settings:
        where = {
            "ship_id": self.plan.ship_id,
            "nats_url": self.plan.nats_url,
            "clickhouse_url": self.plan.clickhouse_url,
            "policies": self.plan.policies,
        }
        return Settings.read().model_copy(update=where)

    async def _verdicts(self, observer: Observer, run: Voyage) -> list[FaultVerdict]:
        """Judge as soon as all faults are found, at the latest when the time to settle is over."""
        telling = telling_ids(self.scenario, run)
        everything = [id_ for ids in telling.values() for id_ in ids]
        deadline = time.monotonic() + SETTLE
        while True:
            found = await observer.incident_of(everything)
            verdicts = judge(self.scenario.episodes, telling, found)
            if all(verdict.hit for verdict in verdicts) or time.monotonic() > deadline:
                return verdicts
            await asyncio.sleep(ASK_AGAIN)

    @contextlib.asynccontextmanager
    async def _shown(self, observer: Observer) -> AsyncIterator[None]:
        """Keep the view true while the body runs: drawn on a terminal, else told in lines."""
        watching = asyncio.create_task(self._watch(observer))
        try:
            if not self.console.is_terminal:
                yield
                return
            with Live(
                console=self.console,
                get_renderable=lambda: screen(self._show),
                screen=True,
                refresh_per_second=4,
            ) as self._live:
                yield
        finally:
            self._live = None
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, observer: Observer) -> None:
        sent, at = 0, time.monotonic()
        while True:
            before = self._show.snapshot
            after = self._show.snapshot = await observer.look()
            now = time.monotonic()
            self._show.elapsed = self._elapsed()
            self._show.rate, sent, at = (self._show.sent - sent) / (now - at), self._show.sent, now
            if after.incidents and self._show.first_incident is None:
                self._show.first_incident = self._elapsed()
                self._say(f"first incident after {self._elapsed():.1f} s")
            if self._live is None:
                for line in changes(before, after):
                    self._say(line)
            await asyncio.sleep(LOOK_EVERY)

    def _sent(self, played: PlaySummary) -> None:
        self._show.sent = played.lines + played.readings

    def _say(self, line: str) -> None:
        self._show.events.append(line)
        if self._live is None:
            self.console.print(f"{self._elapsed():6.1f} s  {line}", markup=False, soft_wrap=True)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _report(self, verdicts: Sequence[FaultVerdict]) -> None:
        self.console.print(score_table(verdicts))
        self.console.print(summary(verdicts))
        self._numbers()

    def _numbers(self) -> None:
        first, now = self._show.first_incident, self._show.snapshot
        self.console.print(
            f"first incident after {first:.1f} s" if first is not None else "no incident at all"
        )
        self.console.print(
            f"{self._show.sent} sent, {now.anomalies} anomalies, {len(now.incidents)} incidents; "
            f"fast path p50 {milliseconds(now.p50)}, p99 {milliseconds(now.p99)}"
        )
