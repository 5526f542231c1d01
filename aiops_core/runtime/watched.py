"""Shared small state as a typed value that is always there: a bucket, watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from aiops_core.errors import Unavailable
from aiops_core.inventory import inventory, suggestions
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import Suggestions
from aiops_core.runtime.bus import Bucket, Bus
from aiops_core.runtime.unreadable import skip
from aiops_core.suppression import ship, silences
from aiops_core.suppression.ship import Ship
from aiops_core.suppression.silences import Silence

T = TypeVar("T")


class Watched(Generic[T]):
    """``value`` is the newest result of *read*, *initial* before the first.

    *read* returns None for "nothing there yet". It skips unreadable entries. For an unreadable
    bucket it raises ValueError, and the value stays. *changed* is called with every new value.
    ``keep`` is a background loop of the service. ``load`` belongs in its recovery when its first
    message should know the value.
    """

    def __init__(
        self,
        name: str,
        bucket: Bucket,
        read: Callable[[Mapping[str, bytes]], T | None],
        initial: T,
        changed: Callable[[T], None] = lambda value: None,
    ) -> None:
        self.value = initial
        self.known = False  # whether the value was ever read
        self._name, self._bucket = name, bucket
        self._read, self._changed = read, changed

    async def load(self, within: float) -> None:
        """Read once, for at most *within* seconds; what fails is left to ``keep``."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(within):
                self._take(await self._bucket.all())

    async def keep(self) -> None:
        """The background loop: follow the bucket for ever."""
        async for values in self._bucket.watch():
            self._take(values)

    def _take(self, values: Mapping[str, bytes]) -> None:
        try:
            value = self._read(values)
        except ValueError as exc:  # ValidationError is one
            skip(self._name, self._name, exc)
            return
        if value is not None and not (self.known and value == self.value):
            self.value, self.known = value, True
            self._changed(value)


def watched_inventory(
    bus: Bus, changed: Callable[[Inventory], None] = lambda value: None
) -> Watched[Inventory]:
    """The devices that incident-api publishes; not ``known`` until it did so for the first time."""

    def read(values: Mapping[str, bytes]) -> Inventory | None:
        data = values.get(inventory.KEY)
        return None if data is None else Inventory.from_json(data)

    return Watched("inventory", bus.bucket(inventory.BUCKET), read, Inventory(), changed)


def watched_suggestions(
    bus: Bus, changed: Callable[[Suggestions], None] = lambda value: None
) -> Watched[Suggestions]:
    """What incident-api publishes about dependencies that nobody typed."""

    def read(values: Mapping[str, bytes]) -> Suggestions | None:
        data = values.get(suggestions.KEY)
        return None if data is None else Suggestions.from_json(data)

    bucket = bus.bucket(inventory.BUCKET)
    return Watched("suggestions", bucket, read, Suggestions(), changed)


def watched_ship(bus: Bus, changed: Callable[[Ship], None] = lambda value: None) -> Watched[Ship]:
    """The ship's mode, maintenance windows and outages."""

    def read(values: Mapping[str, bytes]) -> Ship:
        found = Ship.of(values)
        for key, reason in found.unreadable.items():
            skip("ship", key, reason)
        return found

    return Watched("ship", bus.bucket(ship.BUCKET), read, Ship(), changed)


def watched_silences(
    bus: Bus, changed: Callable[[tuple[Silence, ...]], None] = lambda value: None
) -> Watched[tuple[Silence, ...]]:
    """The silences that operators have set, those that are over included."""

    def read(values: Mapping[str, bytes]) -> tuple[Silence, ...]:
        found, wrong = silences.decode(values)
        for key, reason in wrong.items():
            skip("silences", key, reason)
        return tuple(found)

    return Watched("silences", bus.bucket(silences.BUCKET), read, (), changed)
