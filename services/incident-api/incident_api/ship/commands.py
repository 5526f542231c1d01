"""Declarations about the ship, in the bucket ``ship``: a request is answered once it is durable.

Declarations end by themselves. One that is ended early is shortened: it still explains what
happened in its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import attrgetter
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
from incident_api.outage import ensure_connected
from incident_api.policy import DeclarationLimits, ShipPolicy
from incident_api.problems import Problem
from incident_api.ship.models import (
    NewMaintenance,
    NewMode,
    NewOutage,
    State,
    check_extent,
    check_number,
    check_times,
    state_of,
)

log = StructuredLogger.get_logger(name="ship", service="incident-api", version=__version__)

READ_WITHIN = 5.0  # seconds
SKEW = timedelta(minutes=1)  # a client's clock may be ahead by so much
SHORTEST = timedelta(microseconds=1)
PREFIXES = {MaintenanceWindow: MAINTENANCE_PREFIX, LinkOutage: OUTAGE_PREFIX}
NOUNS = {MaintenanceWindow: "maintenance window", LinkOutage: "outage"}
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

    def all(self, kind: type[S]) -> list[S]:
        """Those of a kind, by their start."""
        known = (*self.ship.maintenance, *self.ship.outages)
        return sorted((one for one in known if isinstance(one, kind)), key=attrgetter("start"))

    def find(self, kind: type[S], id: str) -> S:
        """Problem 404 for an unknown one."""
        for one in self.all(kind):
            if one.id == id:
                return one
        raise Problem(404, f"there is no {NOUNS[kind]} {id}")

    async def recover(self) -> None:
        await self._watched.load(READ_WITHIN)

    async def set_mode(self, new: NewMode, actor: str) -> None:
        """Nothing changes when the ship is in that mode already."""
        now = self.now
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
        window = MaintenanceWindow(
            **new.model_dump(exclude={"start", "owner"}),
            id=_new_id("m"),
            start=check_times(new, self.now, self._policy.maintenance),
            owner=new.owner or actor,
        )
        check_extent(window, self._inventory())
        return await self._declare(window, actor, self._policy.maintenance)

    async def add_outage(self, new: NewOutage, actor: str) -> LinkOutage:
        device = self._inventory().resolve(new.device_id)
        if device is None:
            raise Problem(422, f"body.device_id: there is no device {new.device_id}")
        outage = LinkOutage(
            **new.model_dump(exclude={"start", "source", "device_id"}),
            id=_new_id("o"),
            device_id=device,
            start=check_times(new, self.now, self._policy.outages),
            source=new.source or actor,
        )
        return await self._declare(outage, actor, self._policy.outages)

    async def _declare(self, new: S, actor: str, limits: DeclarationLimits) -> S:
        async with self._exclusive():
            check_number(self.all(type(new)), self.now, limits)
            await self._put(_key(new), new)
            log.info("declared", actor=actor, **new.model_dump(mode="json"))
            await self._forget_old()
        return new

    async def end(self, kind: type[S], id: str, actor: str) -> tuple[S, State]:
        """Withdraw a planned one, end a running one now; nothing changes for one that is over."""
        async with self._exclusive():
            found = self.find(kind, id)
            state = state_of(found, self.now)
            log.info("ended", actor=actor, id=id, was=state)
            if state == "planned":
                await self._delete(_key(found))
                return found, "withdrawn"
            if state == "running":
                found = found.model_copy(update={"end": max(self.now, found.start + SHORTEST)})
                await self._put(_key(found), found)
            return found, "over"

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """Exclude other requests, and read the bucket: the loop that follows it may be behind."""
        ensure_connected(self._bus)
        async with self._writing:
            await self._watched.load(READ_WITHIN)
            yield

    async def _forget_old(self) -> None:
        """Delete declarations that ended too long ago to explain any message."""
        before = self.now - self._policy.remembered
        for one in (*self.ship.maintenance, *self.ship.outages):
            if one.end < before:
                await self._delete(_key(one))

    async def _put(self, key: str, value: BaseModel) -> None:
        await self._bus.bucket(BUCKET).put(key, value.model_dump_json().encode())
        await self._watched.load(READ_WITHIN)

    async def _delete(self, key: str) -> None:
        await self._bus.bucket(BUCKET).delete(key)
        await self._watched.load(READ_WITHIN)


def _new_id(kind: str) -> str:
    """Short enough to be typed."""
    return f"{kind}-{uuid4().hex[:8]}"


def _key(declared: Spell) -> str:
    return PREFIXES[type(declared)] + declared.id
