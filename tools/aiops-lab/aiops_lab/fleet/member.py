"""One process of the fleet, kept alive until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from aiops_core.errors import Misconfigured
from aiops_core.runtime.backoff import Backoff
from aiops_lab.fleet.files import Log
from aiops_lab.fleet.plan import Spec
from aiops_lab.fleet.process import answers, spawn, why_not_ready

ASK_EVERY = 0.1  # seconds between questions to a process that is not ready yet
LOOK_EVERY = 5.0  # seconds between questions to one that is
HANGS = 30.0  # seconds without any answer, after which a process that lives is as good as dead
RESTART = Backoff(first=0.5, most=30.0)
STEADY = 60.0  # seconds of life after which a death counts as the first one again
MISCONFIGURED = 2  # exit code of a process that cannot start with what it was given


@dataclass(frozen=True)
class Death:
    """The end of one life of a process. *code* is negative for a signal, as in ``subprocess``."""

    code: int
    lived: float  # seconds
    first_life: bool
    was_ready: bool

    @property
    def how(self) -> str:
        """The exit in words: ``exit code 1`` or ``killed by SIGKILL``."""
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"killed by signal {-self.code}"

    @property
    def hopeless(self) -> bool:
        """Whether only a person can help: a wrong configuration at the first start.

        Later the same exit code may pass by itself (a port that is not yet free).
        """
        return self.code == MISCONFIGURED and self.first_life and not self.was_ready


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting to restart"
    STOPPED = "stopped"


class Member:
    """Supervises one process. *say* gets a line for a person, *changed* hears of each new state."""

    def __init__(self, spec: Spec, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.spec = spec
        self.log = Log(spec.log)
        self.state = State.STARTING
        self.why = ""  # why it is not ready
        self._lives = 0
        self._say = say
        self._changed = changed
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._was_ready = False

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def restarts(self) -> int:
        return max(self._lives - 1, 0)

    @property
    def pid(self) -> int | None:
        """Of the process that runs now; None while there is none."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def run(self) -> None:
        """Start it, and again whenever it dies; raises Misconfigured when that cannot help."""
        deaths = 0
        while not self._stopping.is_set():
            death = await self._live()
            if self._stopping.is_set():
                break
            if death.hopeless:
                raise Misconfigured(self._complaint())
            deaths = 1 if death.lived >= STEADY else deaths + 1
            delay = RESTART.after(deaths)
            self._report(death, delay)
            await self._pause(delay)
        self._become(State.STOPPED)

    async def stop(self, grace: float) -> None:
        """Ask it to end; after *grace* seconds end it. Returns when it is gone."""
        self._stopping.set()
        self.signal(signal.SIGTERM)
        process = self._process
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace)
            return
        self._say(f"{self.name} did not stop within {grace:g} s and is killed")
        self.signal(signal.SIGKILL)
        await process.wait()

    def abort(self) -> None:
        """End it at once and for good."""
        self._stopping.set()
        self.signal(signal.SIGKILL)

    def signal(self, signum: signal.Signals) -> None:
        """Send *signum* to the process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    async def _live(self) -> Death:
        """One life, from start to end."""
        if self.spec.ready_file is not None:
            self.spec.ready_file.unlink(missing_ok=True)
        self._was_ready = False
        self._lives += 1
        self._become(State.STARTING)
        began = time.monotonic()
        with self.log.open() as handle:
            self._process = await spawn(self.spec, handle)
        if self._stopping.is_set():  # while it was being started
            self.signal(signal.SIGTERM)
        code = await self._watched(self._process)
        lived = time.monotonic() - began
        return Death(code, lived, first_life=self.restarts == 0, was_ready=self._was_ready)

    async def _watched(self, process: Process) -> int:
        watching = asyncio.create_task(self._watch())
        try:
            return await process.wait()
        finally:
            watching.cancel()
            self.signal(signal.SIGKILL)  # only when we are cancelled

    async def _watch(self) -> None:
        await self._watch_ready()
        heard = time.monotonic()
        while (silent := time.monotonic() - heard) < HANGS:
            await asyncio.sleep(LOOK_EVERY)
            if await answers(self.spec):
                heard = time.monotonic()
        self._say(f"{self.name} has not answered for {silent:.0f} s and is killed")
        self.signal(signal.SIGKILL)

    async def _watch_ready(self) -> None:
        began = time.monotonic()
        while why := await why_not_ready(self.spec):
            self.why = why
            await asyncio.sleep(ASK_EVERY)
        self.why, self._was_ready = "", True
        self._become(State.READY)
        if self.restarts:
            self._say(f"{self.name} is ready again after {time.monotonic() - began:.1f} s")

    def _report(self, death: Death, delay: float) -> None:
        line = self.log.last_line()
        self.why = f"{death.how}: {line}"
        self._become(State.WAITING)
        self._say(f"{self.name} died ({death.how}), restarting in {delay:.1f} s; last line: {line}")

    def _complaint(self) -> str:
        line = self.log.last_line()
        return line if line.startswith(f"{self.name}: ") else f"{self.name}: {line}"

    async def _pause(self, delay: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    def _become(self, state: State) -> None:
        self.state = state
        self._changed()
