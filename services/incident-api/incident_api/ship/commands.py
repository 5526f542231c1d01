"""Declarations about the ship, in the bucket ``ship``: a request is answered once it is durable.

Declarations end by themselves. One that is ended early is shortened: it still explains what
happened in its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import Inventory
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.watched import watched_ship
from aiops_core.suppression.ship import (
    BUCKET,
    MAINTENANCE_PREFIX,
    MODE_KEY,
    OUTAGE_PREFIX,
    LinkOutage,
    MaintenanceWindow,
    ModeChange,
    Ship,
    Spell,
)
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.policy import ShipPolicy
from incident_api.problems import Problem
from incident_api.ship import validation
from incident_api.ship.models import NewMaintenance, NewMode, NewOutage, State

log = StructuredLogger.get_logger(name="ship", service="incident-api", version=__version__)

READ_WITHIN = 5.0  # seconds
SKEW = timedelta(minutes=1)  # a client's clock may be ahead by so much
SHORTEST = timedelta(microseconds=1)
S = TypeVar("S", MaintenanceWindow, LinkOutage)


class ShipCommands:
    """The only writer of the bucket; one request after the other."""

    def __init__(
        self,
        bus: Bus,
        policy: ShipPolicy,
        inventory: Callable[[], Inventory],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._bus, self._policy, self._inventory, self._clock = bus, policy, inventory, clock
        self._watched = watched_ship(bus)
        self._writing = asyncio.Lock()
        self.keep = self._watched.keep

    @property
    def ship(self) -> Ship:
        """Raises Unavailable until it has been read."""
        if not self._watched.known:
            raise Unavailable("incident-api is starting and waits for NATS")
        return self._watched.value

    @property
    def now(self) -> datetime:
        return self._clock()

    def maintenance(self, id: str) -> MaintenanceWindow:
        """Problem 404 for an unknown one."""
        return _found(self.ship.maintenance, id, "maintenance window")

    def outage(self, id: str) -> LinkOutage:
        """Problem 404 for an unknown one."""
        return _found(self.ship.outages, id, "outage")

    async def recover(self) -> None:
        await self._watched.load(READ_WITHIN)

    async def set_mode(self, new: NewMode, actor: str) -> None:
        """Nothing changes when the ship is in that mode already."""
        now = self._clock()
        since = new.since or now
        if since > now + SKEW:
            raise Problem(422, "body.since: lies in the future")
        async with self._exclusive():
            current = self.ship.mode.at(since)
            if current is None or current.mode != new.mode or new.since:
                change = ModeChange(mode=new.mode, since=since, by=actor, reason=new.reason)
                await self._put(MODE_KEY, self.ship.mode.then(change))
                log.info("mode set", actor=actor, mode=new.mode, since=since.isoformat())

    async def add_maintenance(self, new: NewMaintenance, actor: str) -> MaintenanceWindow:
        now, limits = self._clock(), self._policy.maintenance
        start = validation.check_times(new.start, new.end, now, limits)
        given = new.model_dump(exclude={"start", "owner"})
        window = MaintenanceWindow(id=_new_id("m"), start=start, owner=new.owner or actor, **given)
        validation.check_extent(window, self._inventory())
        async with self._exclusive():
            validation.check_number(self.ship.maintenance, now, limits)
            await self._declare(MAINTENANCE_PREFIX, window, actor)
        return window

    async def add_outage(self, new: NewOutage, actor: str) -> LinkOutage:
        device = self._inventory().resolve(new.device)
        if device is None:
            raise Problem(422, f"body.device: there is no device {new.device}")
        now, limits = self._clock(), self._policy.outages
        start = validation.check_times(new.start, new.end, now, limits)
        given = new.model_dump(exclude={"start", "source", "device"})
        outage = LinkOutage(
            id=_new_id("o"), device=device, start=start, source=new.source or actor, **given
        )
        async with self._exclusive():
            validation.check_number(self.ship.outages, now, limits)
            await self._declare(OUTAGE_PREFIX, outage, actor)
        return outage

    async def end_maintenance(self, id: str, actor: str) -> tuple[MaintenanceWindow, State]:
        async with self._exclusive():
            return await self._end(MAINTENANCE_PREFIX, self.maintenance(id), actor)

    async def end_outage(self, id: str, actor: str) -> tuple[LinkOutage, State]:
        async with self._exclusive():
            return await self._end(OUTAGE_PREFIX, self.outage(id), actor)

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """Exclude other requests, and read the bucket: the loop that follows it may be behind."""
        if not self._bus.connected:
            raise Unavailable("NATS is away")
        async with self._writing:
            await self._watched.load(READ_WITHIN)
            yield

    def state_of(self, spell: Spell) -> State:
        return validation.state_of(spell, self._clock())

    async def _declare(self, prefix: str, spell: Spell, actor: str) -> None:
        await self._put(prefix + spell.id, spell)
        log.info("declared", actor=actor, **spell.model_dump(mode="json"))
        await self._forget_old()

    async def _end(self, prefix: str, spell: S, actor: str) -> tuple[S, State]:
        """Withdraw a planned one, end a running one now; nothing changes for one that is over."""
        state = self.state_of(spell)
        log.info("ended", actor=actor, id=spell.id, was=state)
        if state == "planned":
            await self._delete(prefix + spell.id)
            return spell, "withdrawn"
        if state == "running":
            spell = spell.model_copy(update={"end": max(self._clock(), spell.start + SHORTEST)})
            await self._put(prefix + spell.id, spell)
        return spell, "over"

    async def _forget_old(self) -> None:
        """Delete declarations that ended too long ago to explain any message."""
        before = self._clock() - self._policy.remembered
        for prefix, known in (
            (MAINTENANCE_PREFIX, self.ship.maintenance),
            (OUTAGE_PREFIX, self.ship.outages),
        ):
            for one in known:
                if one.end < before:
                    await self._delete(prefix + one.id)

    async def _put(self, key: str, value: BaseModel) -> None:
        await self._bus.bucket(BUCKET).put(key, value.model_dump_json().encode())
        await self._watched.load(READ_WITHIN)

    async def _delete(self, key: str) -> None:
        await self._bus.bucket(BUCKET).delete(key)
        await self._watched.load(READ_WITHIN)


def _new_id(kind: str) -> str:
    """Short enough to be typed."""
    return f"{kind}-{uuid4().hex[:8]}"


def _found(known: tuple[S, ...], id: str, what: str) -> S:
    for one in known:
        if one.id == id:
            return one
    raise Problem(404, f"there is no {what} {id}")
