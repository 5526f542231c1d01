"""The incidents in memory: the recent ones. Older ones are loaded when they are needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Container, Sequence
from functools import reduce
from weakref import WeakValueDictionary

from aiops_core.errors import Unavailable
from aiops_core.models import Message
from aiops_core.runtime.backoff import until_available
from incident_api.folding import StoredIncident, evolve
from incident_api.store import IncidentStore

KEPT = 2000  # incidents; one with all its evidence takes some 100 KB
PRELOADED = 1000  # open incidents


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
    """Folds facts into incidents. One that begins while the store cannot be asked is *unsure*:
    should the store know it after all, its facts are folded into the stored version."""

    def __init__(self, store: IncidentStore, kept: int = KEPT) -> None:
        self._store, self._kept = store, kept
        self._known: OrderedDict[str, StoredIncident] = OrderedDict()
        self._loading = KeyedLocks()
        self._unsure: dict[str, list[Message]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def preload(self) -> None:
        """Load the newest open incidents. Raises Unavailable."""
        for stored in reversed(await self._store.newest_open(PRELOADED)):
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
        """Like ``get``, but waits while the store is away: an order once lost is hard to restore.
        An incident that *begins* does not wait."""
        if not begins:
            return await until_available(self.get, incident_id)
        try:
            return await self.get(incident_id)
        except Unavailable:
            self._unsure.setdefault(incident_id, [])
            return None

    async def ensure_known(self) -> list[StoredIncident]:
        """Ask the store for what is unsure. Returns the incidents that it knew. Raises Unavailable
        when it is away."""
        found = []
        for incident_id in list(self._unsure):
            stored = await self._store.incident(incident_id)
            facts = self._unsure.pop(incident_id)
            if stored is not None:
                self._known[incident_id] = reduce(evolve, facts, stored)
                found.append(self._known[incident_id])
        return found

    def fold(self, incident_id: str, fact: Message) -> tuple[StoredIncident, bool]:
        """Fold *fact* into the incident in memory; says whether that changed it."""
        before = self._known.get(incident_id)
        after = evolve(before, fact)
        if incident_id in self._unsure:
            self._unsure[incident_id].append(fact)
        self._known[incident_id] = after
        return after, after is not before

    def forget(self, incident_id: str) -> None:
        """It cannot be stored as it is: the next fact is folded into what the store has."""
        self._known.pop(incident_id, None)

    def forget_oldest(self, keep: Container[str]) -> None:
        """Forget the incidents beyond the bound, but none of *keep*."""
        for incident_id in list(self._known)[: max(len(self._known) - self._kept, 0)]:
            if incident_id not in keep:
                del self._known[incident_id]
