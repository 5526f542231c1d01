"""Failures that pass: tried again with back-off and jitter, and logged at most once a minute."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.runtime.backoff import LOG_EVERY, Backoff
from aiops_core.runtime.bus import Bus
from aiops_core.utils import StructuredLogger
from incident_api import __version__

log = StructuredLogger.get_logger(name="outage", service="incident-api", version=__version__)

RETRY = Backoff(first=0.5, most=5.0)

T = TypeVar("T")
Tell = Callable[[str | None], None]
Clock = Callable[[], float]


class DependencyOutages:
    """The outages of one *dependency*, by the name of the caller that noticed. *report* gets the
    first problem, and None when there is none. When one ends, the others are tried at once."""

    def __init__(
        self,
        dependency: str,
        report: Tell = lambda problem: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._dependency, self._report, self._clock = dependency, report, clock
        self._problems: dict[str, str] = {}
        self._outages: list[Outage] = []
        self._since = 0.0
        self._logged: dict[str, float] = {}  # when, by name
        self._is_logged = False  # whether the present outage is in the log

    def of(self, name: str) -> Tell:
        """A function with which *name* reports a problem, repeatedly, and None when it is over."""

        def tell(problem: str | None) -> None:
            is_new = not self._problems
            if problem:
                self._problems[name] = problem
            elif self._problems.pop(name, None):
                for outage in self._outages:
                    outage.hurry()
            self._note(is_new)

        return tell

    def outage(self, name: str) -> Outage:
        """An outage that is reported as *name*."""
        outage = Outage(self.of(name), self._clock)
        self._outages.append(outage)
        return outage

    def _note(self, is_new: bool) -> None:
        now, name = self._clock(), next(iter(self._problems), None)
        if is_new:
            self._since = now
        if name is None:
            self._report(None)
            if self._is_logged:
                self._is_logged = False
                log.info("going on", dependency=self._dependency, after_s=round(now - self._since))
            return
        reason = f"{name}: {self._problems[name]}"
        self._report(reason)
        # A further problem of the same outage is no news.
        times = self._logged.values() if not is_new else [self._logged.get(name, -LOG_EVERY)]
        if now - max(times, default=-LOG_EVERY) >= LOG_EVERY:
            self._logged[name], self._is_logged = now, True
            log.warning("waiting", dependency=self._dependency, reason=reason)


class Outage:
    """Whether something is failing at the moment, and why. *tell* gets the reason, and None when it
    is over."""

    def __init__(self, tell: Tell = lambda problem: None, clock: Clock = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self.problem: str | None = None
        self._tries = 0
        self._next = 0.0
        self._hurried = asyncio.Event()

    @property
    def delay(self) -> float:
        """Seconds until the next try."""
        return max(self._next - self._clock(), 0.0) if self.problem else 0.0

    async def wait(self) -> None:
        """Return when it is time for the next try."""
        self._hurried.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.delay):
                await self._hurried.wait()

    def hurry(self) -> None:
        """The dependency may be back."""
        self._next = 0.0
        self._hurried.set()

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """The body is a try: it fails when it raises Unavailable, which is raised on."""
        try:
            yield
        except Unavailable as exc:
            self.problem = str(exc)
            self._tries += 1
            self._next = self._clock() + RETRY.after(self._tries)
            self._tell(self.problem)
            raise
        self.problem, self._tries = None, 0
        self._tell(None)


def ensure_connected(bus: Bus) -> None:
    if not bus.connected:
        raise Unavailable("NATS is away")


async def persistently(work: Callable[[], Awaitable[T]], outage: Outage) -> T:
    """The result of *work*, which notices its own outage: it is tried until that is over."""
    while True:
        with contextlib.suppress(Unavailable):
            return await work()
        await outage.wait()


async def keep_doing(work: Callable[[], Awaitable[object]], pause: float, outage: Outage) -> None:
    """Do *work* for ever, *pause* seconds after each time that it succeeded, and after a failure
    that passes as soon as *outage* says. Whatever else it raises ends the process."""
    while True:
        try:
            with outage.noticed():
                await work()
        except TookTooLong:
            await asyncio.sleep(pause)  # not every few seconds: it is a burden
        except Unavailable:
            await outage.wait()
        else:
            await asyncio.sleep(pause)
