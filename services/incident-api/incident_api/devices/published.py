"""What is suggested, as it lies in the bucket of the inventory, and the only way to change it.

The bucket has the truth, and every change begins with reading it. What was read last is put back
when a broker has lost its disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from aiops_core.inventory.inventory import BUCKET
from aiops_core.inventory.suggestions import KEY, Suggestions
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.unreadable import skip
from incident_api.devices.suggesting import DEVICES_KEY, SuggestedDevices
from incident_api.outage import ensure_connected

WHERE = "incident-api.suggestions"  # see aiops_core.runtime.unreadable


class Storable(Protocol):
    def to_json(self) -> bytes: ...


T = TypeVar("T", bound=Storable)


class Published(Generic[T]):
    """The entry *key* of the bucket; *empty* when there is none, or one that cannot be read."""

    def __init__(self, bus: Bus, key: str, decode: Callable[[bytes], T], empty: T) -> None:
        self._bus, self._key, self._decode, self._last = bus, key, decode, empty
        self._empty = empty
        self._writing = asyncio.Lock()

    async def read(self) -> T:
        """Raises Unavailable."""
        return self._read(await self._bus.bucket(BUCKET).get(self._key))

    def _read(self, data: bytes | None) -> T:
        if data is None:
            return self._last
        try:
            self._last = self._decode(data)
        except ValueError as exc:
            skip(WHERE, self._key, exc)
            self._last = self._empty
        return self._last

    async def change(self, by: Callable[[T], T]) -> T:
        """What is published after *by*. Raises Unavailable, and what *by* raises."""
        ensure_connected(self._bus)
        async with self._writing:
            bucket = self._bus.bucket(BUCKET)
            data = await bucket.get(self._key)
            changed = by(self._read(data))
            if (wanted := changed.to_json()) != data:
                await bucket.put(self._key, wanted)
            self._last = changed
            return changed


class PublishedSuggestions(Published[Suggestions]):
    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, KEY, Suggestions.from_json, Suggestions())


class PublishedDevices(Published[SuggestedDevices]):
    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, DEVICES_KEY, SuggestedDevices.from_json, SuggestedDevices())
