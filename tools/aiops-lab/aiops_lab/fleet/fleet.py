"""A fleet on embedded parts: nats-server, ClickHouse and the five services as child processes.

``async with Fleet(plan) as fleet: await fleet.ready()`` is all that tests, demo and bench need;
``aiops up`` is the same with a table and signals around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiops_core.errors import Misconfigured, Unavailable
from aiops_lab.fleet.files import only_one, write_atomically
from aiops_lab.fleet.member import Member, State
from aiops_lab.fleet.plan import INFRASTRUCTURE, NATS, Plan, nats_config, nats_config_path, specs
from aiops_lab.fleet.ports import refuse_taken
from aiops_lab.fleet.process import broker_wants_restart

# Together under the 10 s in which a stop must end.
GRACE_OF_SERVICES = 6.5  # seconds; a message that is not acknowledged then is delivered again
GRACE_OF_INFRASTRUCTURE = 2.5  # seconds
TEND_EVERY = 2.0  # seconds


class Fleet:
    """A running fleet. *say* gets one line per event; *ready_file* is written when all are
    ready.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        say: Callable[[str], None] = lambda line: None,
        ready_file: Path | None = None,
    ) -> None:
        self.plan = plan
        self.members: dict[str, Member] = {}
        self._say = say
        self._ready_file = ready_file
        self._stopping = asyncio.Event()
        self._change = asyncio.Event()
        self._failure: Misconfigured | None = None
        self._held = contextlib.ExitStack()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start all at once. Raises Misconfigured before starting any."""
        self._prepare()
        for spec in specs(self.plan, os.environ):
            self.members[spec.name] = Member(spec, self._say, self._changed)
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        try:
            if self._running is not None:
                await self._running
        finally:
            self._forget_ready()
            self._held.close()

    async def ready(self, *names: str, within: float | None = None) -> None:
        """Wait until *names* (default: all) are ready, or the fleet is told to stop.

        Raises Misconfigured when a member says so at its start, Unavailable after *within* seconds.
        """
        wanted = [self.members[name] for name in names or self.members]
        try:
            async with asyncio.timeout(within):
                while not self._stopping.is_set() and not _all_ready(wanted):
                    await self._change.wait()
        except TimeoutError:
            raise Unavailable(f"not ready after {within:g} s: {waiting_for(wanted)}") from None
        if self._failure is not None:
            raise self._failure

    async def stopped(self) -> None:
        """Wait until somebody tells the fleet to stop."""
        await self._stopping.wait()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Tell all to end, services first; leaving the context waits for it."""
        self._stopping.set()
        self._changed()

    def abort(self) -> None:
        """End at once, without waiting for what is in flight: it will be delivered again."""
        for member in self.members.values():
            member.abort()
        self.stop()

    def kill(self, name: str) -> int:
        """SIGKILL the process of *name*, as a test or a drill would; returns the pid it had."""
        member = self.members[name]
        pid = member.pid
        if pid is None:
            raise Unavailable(f"{name} is not running now")
        member.state = State.WAITING  # so that ``ready(name)`` waits for its next life
        member.signal(signal.SIGKILL)
        return pid

    @property
    def pids(self) -> dict[str, int]:
        """Of all members that run now."""
        return {name: m.pid for name, m in self.members.items() if m.pid is not None}

    def description(self) -> dict[str, object]:
        """What the ready file says: all addresses and process ids."""
        return {
            "ship_id": self.plan.ship_id,
            "data": str(self.plan.data),
            "nats_url": self.plan.nats_url,
            "clickhouse_url": self.plan.clickhouse_url,
            "api_url": self.plan.api_url,
            "addresses": self.plan.addresses(),
            "pid": os.getpid(),
            "pids": self.pids,
        }

    def _prepare(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(only_one(self.plan.data))
            refuse_taken(self.plan.ports.by_purpose())
            nats_config_path(self.plan).write_text(nats_config(self.plan), encoding="utf-8")
            self._forget_ready()
            self._held = stack.pop_all()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            tending = group.create_task(self._tend_files())
            for member in self.members.values():
                group.create_task(self._keep(member))
            await self._stopping.wait()
            tending.cancel()
            await self._stop_in_order()

    async def _keep(self, member: Member) -> None:
        try:
            await member.run()
        except Misconfigured as exc:
            self._failure = self._failure or exc
            self._stopping.set()
            self._changed()

    async def _stop_in_order(self) -> None:
        infrastructure = [self.members[name] for name in INFRASTRUCTURE]
        services = [m for m in self.members.values() if m not in infrastructure]
        await _stop_all(services, GRACE_OF_SERVICES)
        await _stop_all(infrastructure, GRACE_OF_INFRASTRUCTURE)

    async def _tend_files(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY)
            for member in self.members.values():
                member.log.bound()
            if await broker_wants_restart(self.plan.ports.nats_monitor, self.plan.data / NATS):
                self.members[NATS].signal(signal.SIGTERM)

    def _changed(self) -> None:
        """Wake all who wait for a change, and keep the ready file true."""
        self._change.set()
        self._change = asyncio.Event()
        if self._ready_file is not None and _all_ready(self.members.values()):
            write_atomically(self._ready_file, self.description())

    def _forget_ready(self) -> None:
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)


async def _stop_all(members: Sequence[Member], grace: float) -> None:
    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(member.stop(grace))


def _all_ready(members: Iterable[Member]) -> bool:
    return all(member.state is State.READY for member in members)


def waiting_for(members: Sequence[Member]) -> str:
    """Who is not ready, and why, in one line."""
    late = [m for m in members if m.state is not State.READY]
    return ", ".join(f"{m.name} ({m.why or m.state})" for m in late)
