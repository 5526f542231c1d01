"""The facts beside the anomalies: devices, silences, outages, and the times of clears."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.adapters.nats import NatsBus
from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyCleared
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.unreadable import read_stored
from aiops_core.runtime.watched import watched_inventory, watched_ship, watched_silences
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy

WITHIN = 5.0  # seconds that the broker may take


@dataclass(frozen=True)
class Known:
    """As it is now: silences and outages say themselves when they hold. *recoveries* by arrival."""

    inventory: Inventory
    silences: Sequence[Silence]
    outages: Sequence[LinkOutage]
    recoveries: Sequence[AnomalyCleared]

    def correlator(self, policy: CorrelatePolicy) -> Correlator:
        """One that decides by *policy* and knows all this."""
        correlator = Correlator(policy)
        correlator.use(self.inventory)
        correlator.suppression.silences.replace(self.silences)
        correlator.suppression.outages.replace(self.outages)
        return correlator


async def known(settings: Settings, since: datetime) -> Known:
    """Raises Unavailable when the broker does not answer."""
    limits = RetentionPolicy.load(settings.policies).streams
    bus = NatsBus(settings.nats_url, limits, Readiness("what-if"), "what-if")
    try:
        async with asyncio.timeout(WITHIN):
            await bus.connect()
        return await _read(bus, since)
    except TimeoutError:
        raise Unavailable(
            f"nats at {settings.nats_url} did not answer within {WITHIN:g} s"
        ) from None
    finally:
        await bus.close()


async def _read(bus: Bus, since: datetime) -> Known:
    inventory, silences, ship = watched_inventory(bus), watched_silences(bus), watched_ship(bus)
    for one in (inventory, silences, ship):
        await one.load(WITHIN)
    return Known(inventory.value, silences.value, ship.value.outages, await recoveries(bus, since))


async def recoveries(bus: Bus, since: datetime) -> list[AnomalyCleared]:
    found = []
    async for stored in bus.history([AnomalyCleared.subject], since=since):
        cleared = read_stored(stored, "what-if.recoveries")
        if isinstance(cleared, AnomalyCleared):
            found.append(cleared.stamped("replayed", stored.at))
    return found
