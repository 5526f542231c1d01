"""The suggested edges as they are published, and what time teaches about them.

ClickHouse has the history, the bucket the result: nothing is kept in memory. After a kill, or when
the bucket is lost or unreadable, everything is learned again; only what people have rejected is
then suggested once more.
"""

# ruff: noqa: S608 - the text is put together of constants of this module; values are bound

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aiops_core.inventory.cofailures import TROUBLES_READ, Trouble, learned
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.inventory.suggestions import EdgeFinding, EdgeKey, Findings, Suggestions
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.devices.published import PublishedSuggestions
from incident_api.devices.suggesting import relearned
from incident_api.outage import DependencyOutages, keep_doing
from incident_api.reads import SqlQueries
from incident_api.rows import micros, sql_time

log = StructuredLogger.get_logger(name="suggested", service="incident-api", version=__version__)

LEARN_EVERY = 300.0  # seconds
# Without FINAL: of a row that was replaced the older version says the same.
TROUBLES = (
    "SELECT device_id, anomaly_type, min(ts) AS began FROM aiops.incident_members"
    f" WHERE stored_at >= {sql_time('since')} AND ts >= {sql_time('since')} AND role = 'member'"
    " GROUP BY incident_id, device_id, anomaly_type ORDER BY began DESC LIMIT %(most)s"
)


class TroubleStore(Protocol):
    async def troubles(self, since: datetime, most: int) -> Sequence[tuple[str, str, datetime]]:
        """Device, type and begin of the alerts since then, the newest *most*. Raises
        Unavailable."""


class ClickHouseTroubles:
    def __init__(self, reads: SqlQueries) -> None:
        self._reads = reads

    async def troubles(self, since: datetime, most: int) -> Sequence[tuple[str, str, datetime]]:
        rows = await self._reads.query(TROUBLES, {"since": micros(since), "most": most})
        return [(device, kind, began.replace(tzinfo=UTC)) for device, kind, began in rows]


class EdgeLearner:
    """Looks at the whole history again and again; so it keeps no state of its own."""

    def __init__(
        self,
        store: TroubleStore,
        published: PublishedSuggestions,
        policy: LearningPolicy,
        inventory: Callable[[], Inventory],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._published, self._policy = store, published, policy
        self._inventory, self._clock = inventory, clock

    async def keep_learning(self) -> None:
        """The background loop."""
        outages = DependencyOutages("clickhouse or nats")
        await keep_doing(self.learn, LEARN_EVERY, outages.outage("edges are not learned"))

    async def learn(self) -> Suggestions:
        """Publish what the history says now. Raises Unavailable."""
        inventory, rules = self._inventory(), self._policy.suggested
        since = self._clock() - timedelta(days=rules.days)
        rows = await self._store.troubles(since, TROUBLES_READ)
        troubles = [
            Trouble(inventory.resolve(device) or device, family, began)
            for device, kind, began in rows
            if device and (family := self._policy.family_of(kind))
        ]
        found = await asyncio.to_thread(learned, troubles, rules.rules)
        new = untyped(found, inventory)
        changed = await self._published.change(
            lambda known: relearned(known, inventory, "time", new).suggestions
        )
        log.debug("edges learned", troubles=len(troubles), edges=len(new), known=len(changed))
        return changed


def untyped(found: Findings, inventory: Inventory) -> dict[EdgeKey, EdgeFinding]:
    """Those of *found* about which the inventory says nothing, in neither direction."""
    return {
        key: finding
        for key, finding in found.items()
        if key.upstream not in inventory.above(key.device)
        and key.device not in inventory.above(key.upstream)
    }
