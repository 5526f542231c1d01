"""How many messages the services of each path gave up, counted on the bus itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from aiops_core.errors import Unavailable
from aiops_core.runtime.bus import Bus

FAST = (
    "dead.anomaly-detection",
    "dead.enrichment-service",
    "dead.correlation-service",
    "dead.incident-api",
)
INSIGHT = ("dead.llm-enricher",)


class DeadLetters:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def count(self, subjects: tuple[str, ...], now: datetime, span: timedelta) -> int:
        if not self._bus.connected:
            raise Unavailable("NATS is away")
        return len([1 async for _ in self._bus.history(list(subjects), since=now - span)])
