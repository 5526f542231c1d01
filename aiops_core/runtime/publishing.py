"""How effects get to the broker: joined, stamped, and in sizes that consumers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from aiops_core.errors import Reject
from aiops_core.models import Message
from aiops_core.observability import metrics
from aiops_core.runtime.backoff import until_available
from aiops_core.runtime.bus import LARGEST, Bus, Outgoing
from aiops_core.runtime.failures import Oversized
from aiops_core.runtime.outbox import Caused

Merge = Callable[[Sequence[Outgoing]], Sequence[Outgoing]]
Hear = Callable[[Sequence[Message]], None]

MOST = LARGEST - 1024  # bytes of an effect, before its stage is stamped


def check_size(effect: Outgoing) -> None:
    """Raises Oversized for what its consumers would bury."""
    size = len(effect.message.model_dump_json().encode())
    if size > MOST:
        raise Oversized(f"{effect.message.subject} would have {size} bytes, the limit is {MOST}")


class Publisher:
    """Publishes what a service decided; *stage* is stamped on it, *merge* may join a batch."""

    def __init__(
        self,
        bus: Bus,
        stage: str | None,
        merge: Merge | None,
        hear: Hear | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._bus, self._stage, self._merge, self._hear = bus, stage, merge, hear
        self._clock = clock
        self._latency = metrics.STAGE_LATENCY.labels(stage) if stage else None

    async def publish(self, caused: Sequence[Caused]) -> Mapping[Caused, str]:
        """Return when all is stored, in order; what the broker refuses is returned, with why."""
        effects = [effect for one in caused for effect in one.effects]
        try:
            await self._store(self._merged(effects))
        except Reject:
            return await self._publish_apart(caused)
        return {}

    async def _publish_apart(self, caused: Sequence[Caused]) -> Mapping[Caused, str]:
        """One message's effects at a time, to know which is refused. Ids keep them single."""
        refused = {}
        for one in caused:
            try:
                await self._store(one.effects)
            except Reject as exc:
                refused[one] = str(exc)
        return refused

    async def _store(self, effects: Sequence[Outgoing]) -> None:
        if effects:
            stamped = [self._stamped(effect) for effect in effects]
            new = await until_available(self._bus.publish, stamped)
            if self._hear:
                self._hear([effect.message for effect in stamped if effect.id in new])

    def _merged(self, effects: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Joined, unless that makes one that is too large."""
        if self._merge is None:
            return effects
        checked, merged = {id(effect.message) for effect in effects}, self._merge(effects)
        try:
            for effect in merged:
                if id(effect.message) not in checked:
                    check_size(effect)
        except Oversized:
            return effects
        return merged

    def _stamped(self, effect: Outgoing) -> Outgoing:
        message = effect.message
        if self._stage is None or self._latency is None:
            return effect
        now = self._clock()
        if message.stages:
            waited = (now - max(message.stages.values())).total_seconds()
            self._latency.observe(max(waited, 0.0))
        return Outgoing(message.stamped(self._stage, now), effect.id)
