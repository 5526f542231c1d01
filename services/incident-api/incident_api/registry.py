"""The incidents in memory: those that facts and requests are about, the rest is one look-up away."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from functools import reduce
from weakref import WeakValueDictionary

from aiops_core.errors import Unavailable
from aiops_core.models import Message
from incident_api.folding import StoredIncident, fold
from incident_api.store import IncidentStore

KEPT = 2000  # incidents; one with all its evidence takes some 100 KB
RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between look-ups while the store is away


class KeyedLocks:
    """One lock per key, for as long as somebody holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            yield


class Registry:
    """Folds facts into incidents. *changed* are those whose newest version is not cut for storing. What has begun while
    the store could not be asked is *unsure*: should the store know it after all, its facts are folded into that."""

    def __init__(self, store: IncidentStore, kept: int = KEPT) -> None:
        self._store, self._kept = store, kept
        self._known: OrderedDict[str, StoredIncident] = OrderedDict()
        self._loading = KeyedLocks()
        self._unsure: dict[str, list[Message]] = {}
        self.changed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def preload(self, incidents: Sequence[StoredIncident]) -> None:
        for stored in reversed(incidents):
            self._known[stored.incident.id] = stored

    def all(self) -> Sequence[StoredIncident]:
        return list(self._known.values())

    def known(self, incident_id: str) -> StoredIncident | None:
        return self._known.get(incident_id)

    async def get(self, incident_id: str) -> StoredIncident | None:
        """From memory, else from the store. Raises Unavailable when that is away."""
        if incident_id not in self._known:
            async with self._loading.hold(incident_id):
                if incident_id not in self._known:
                    loaded = await self._store.incident(incident_id)
                    if loaded is not None:
                        self._known.setdefault(incident_id, loaded)
        if incident_id in self._known:
            self._known.move_to_end(incident_id)
        return self._known.get(incident_id)

    async def expect(self, incident_id: str, *, begins: bool = False) -> StoredIncident | None:
        """Like ``get``, but waits while the store is away: an order once lost is hard to restore. One that *begins*
        does not wait."""
        tries = 0
        while True:
            try:
                return await self.get(incident_id)
            except Unavailable:
                if begins:
                    self._unsure.setdefault(incident_id, [])
                    return None
                await asyncio.sleep(RETRY[min(tries, len(RETRY) - 1)])
                tries += 1

    async def ensure_known(self) -> None:
        """Ask the store for what is unsure. Raises Unavailable when that is away."""
        for incident_id in list(self._unsure):
            stored = await self._store.incident(incident_id)
            facts = self._unsure.pop(incident_id)
            if stored is not None:
                self._known[incident_id] = reduce(fold, facts, stored)
                self.changed[incident_id] = None

    def fold(self, incident_id: str, fact: Message) -> tuple[StoredIncident, bool]:
        """Fold *fact* into what is in memory; says whether it was new."""
        before = self._known.get(incident_id)
        after = fold(before, fact)
        if incident_id in self._unsure:
            self._unsure[incident_id].append(fact)
        if after is not before:
            self._known[incident_id] = after
            self.changed[incident_id] = None
        return after, after is not before

    def take_changed(self, only: Collection[str] | None = None) -> list[StoredIncident]:
        """The newest version of what has changed since it was taken last, of all or *only* of these."""
        taken = [i for i in self.changed if only is None or i in only]
        for incident_id in taken:
            del self.changed[incident_id]
        return [self._known[incident_id] for incident_id in taken]

    def mark_changed(self, incidents: Sequence[StoredIncident]) -> None:
        """They were taken and could not be stored."""
        ids = [stored.incident.id for stored in incidents]
        self.changed |= dict.fromkeys(id_ for id_ in ids if id_ in self._known)

    def forget(self, incident_id: str) -> None:
        """It cannot be stored as it is: the next fact about it is folded into what the store has."""
        self._known.pop(incident_id, None)
        self.changed.pop(incident_id, None)

    def forget_oldest(self) -> None:
        """Keep the bound. Only to be called when everything that was taken has been stored."""
        for incident_id in list(self._known)[: max(len(self._known) - self._kept, 0)]:
            if incident_id not in self.changed:
                del self._known[incident_id]
