"""A correlation that lives for weeks, is killed, and finds its stream discarded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from aiops_core.models import EnrichedAnomaly, Message
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.publishing import Mark
from aiops_lab.memory_bus import MemoryBus
from correlation_service.handler import Correlation
from tests.conftest import NOON
from tests.correlation_cases import POLICY

PAUSES = tuple(timedelta(minutes=n) for n in (2, 62, 64, 300))  # until a look at the clock
IN_STREAM = timedelta(hours=2)  # what is older is discarded


class PublishedAtOnce:
    """A sink that has nothing waiting."""

    def mark(self, work) -> Mark:
        return Mark(work)

    async def reach(self, mark: Mark) -> None:
        await mark.work()


class Life:
    """What correlation tells, from one process to the next."""

    def __init__(self, policy=POLICY) -> None:
        self.now, self.policy = NOON, policy
        self.bus = MemoryBus(clock=lambda: self.now, duplicate_window=0)
        self.told: list[Message] = []
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self.correlation = Correlation(self.policy, self.bus, PublishedAtOnce())

    @property
    def state(self):
        return self.correlation.correlator.state

    async def kill(self) -> None:
        """The stream has lost what is old meanwhile."""
        self.bus.discard(self.now - IN_STREAM)
        self._begin()
        await self.correlation.recover(self.bus)

    async def receive(self, message: Message) -> list[Message]:
        """What *message* causes, at its time."""
        await self.advance(message.ts)
        if not isinstance(message, EnrichedAnomaly):
            self.bus.put(message.subject, message.model_dump_json().encode())
        return await self._publish(self.correlation.correlator.handle(message))

    async def advance(self, to: datetime) -> list[Message]:
        """Let time pass, with a look at the clock now and then."""
        begun, facts = self.now, []
        for at in [begun + pause for pause in PAUSES] + [to]:
            if begun < at <= to:
                facts += await self.tick(at)
        return facts

    async def tick(self, now: datetime) -> list[Message]:
        self.now = now
        facts = [outgoing.message for outgoing in self.correlation.tick(now)]
        keeper = self.correlation.keeper
        if keeper and keeper.has_copied:
            await keeper.write()
        return await self._publish(facts)

    async def _publish(self, facts: Iterable[Message]) -> list[Message]:
        facts = list(facts)
        for fact in facts:
            self._number += 1
            await self.bus.publish([Outgoing(fact, f"f{self._number}")])
        self.told += facts
        return facts
