"""Keeps what has been open for long in a bucket, once a minute (``kept`` says what, and why).

A tick copies what has changed. Nothing is written before all facts that are in the copy are
published: a kill must not leave a copy of what nobody was told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiops_core.errors import AiopsError, Unavailable
from aiops_core.models import (
    AnomalySuppressed,
    Incident,
    IncidentCleared,
    IncidentUpdated,
)
from aiops_core.runtime.backoff import Reminder
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.publishing import Mark, Publishing
from aiops_core.utils import core_logger
from correlation_service.kept import AS_OF, BUCKET, KINDS, AsOf, Kept
from correlation_service.state import CorrelationState

log = core_logger("keeper")

EVERY = timedelta(minutes=1)
COPIED = 200  # entries of one tick, 5 ms; with more the next ticks go on
BYTES_KEPT = 48 * 1024 * 1024  # of all entries; the bucket takes a third more
OURS = (Incident, IncidentUpdated, IncidentCleared, AnomalySuppressed)


@dataclass
class Copy:
    """Entries to write by their keys, with their marks, and keys to delete. *as_of*: with them
    everything of that time is kept. *sequence*: where in the stream; None while nobody knows."""

    entries: dict[str, tuple[Kept, object]]
    gone: list[str]
    as_of: datetime | None
    place: Mark | None = None
    sequence: int | None = field(default=None)


class Keeper:
    def __init__(self, bus: Bus, sink: Publishing) -> None:
        self._bus, self._sink, self._bucket = bus, sink, bus.bucket(BUCKET)
        self._marks: dict[str, object] = {}  # of what is in the bucket, by key
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._begun: datetime | None = None  # when the first copy of this round was made
        self._written: set[str] = set()  # in this round
        self._next: datetime | None = None  # the earliest time of the next copy
        self._copy: Copy | None = None
        self._copied = asyncio.Event()
        self._failing, self._full = Reminder(), Reminder()

    def begin(self, sizes: Mapping[str, int]) -> None:
        """State was made anew with the entries of these keys: all of them are written again. What
        could not be read stays where it is."""
        self._marks, self._sizes = dict.fromkeys(sizes), dict(sizes)
        self._bytes = sum(sizes.values())
        self._begun, self._next, self._written = None, None, set()

    @property
    def has_copied(self) -> bool:
        """Whether a copy is to be written."""
        return self._copy is not None

    def copy(self, state: CorrelationState, now: datetime) -> None:
        """A tick: copy what has changed, when it is time to. All that was decided was put."""
        if self._copy or (self._next and now < self._next):
            return
        self._begun = self._begun or now
        wanted = {
            kind.prefix + id_: (kind, id_, mark)
            for kind in KINDS
            for id_, mark in kind.marks(state, now).items()
        }
        rest = wanted.keys() - self._written  # what changes all the time must not hold up others
        changed = [key for key in wanted if key in rest and self._marks.get(key) != wanted[key][2]]
        entries: dict[str, tuple[Kept, object]] = {}
        for key in changed[:COPIED]:
            kind, id_, mark = wanted[key]
            entries[key] = kind.copied(state, id_), mark
        gone = [key for key in self._marks if key not in wanted]
        as_of = self._begun if len(changed) <= COPIED else None
        self._next = now + EVERY if as_of else now
        self._copy = Copy(entries, gone, as_of)
        self._copy.place = self._sink.mark(self._find_place)
        self._copied.set()

    async def keep(self) -> None:
        """The background loop."""
        while True:
            await self.write()

    async def write(self) -> None:
        """Write the next copy."""
        await self._copied.wait()
        self._copied.clear()
        copy = self._copy
        if copy and copy.place:
            await self._sink.reach(copy.place)
            await self._write(copy)
        self._copy = None

    async def _find_place(self) -> None:
        """All facts in the copy are published, and no later one is."""
        if self._copy is None:
            return
        try:
            newest = [await self._bus.newest(kind.subject) for kind in OURS]
        except Unavailable as exc:
            self._fails(exc)
            return
        self._copy.sequence = max((one.sequence for one in newest if one), default=0)

    async def _write(self, copy: Copy) -> None:
        """What fails is tried again with the next copy."""
        if copy.sequence is None:
            return
        try:
            for key, (kept, mark) in copy.entries.items():
                await self._put(key, kept.but(sequence=copy.sequence).encoded(), mark)
            for key in copy.gone:
                await self._delete(key)
            if copy.as_of:
                await self._bucket.put(AS_OF, AsOf(at=copy.as_of).model_dump_json().encode())
                self._begun, self._written = None, set()
        except AiopsError as exc:
            self._fails(exc)

    async def _put(self, key: str, value: bytes, mark: object) -> None:
        more = len(value) - self._sizes.get(key, 0)
        if self._bytes + more > BYTES_KEPT:
            if self._full.due():
                log.error("too much is open to be kept", entry=key, bytes=BYTES_KEPT)
        else:
            await self._bucket.put(key, value)
            self._sizes[key], self._bytes = len(value), self._bytes + more
        self._marks[key] = mark
        self._written.add(key)

    async def _delete(self, key: str) -> None:
        await self._bucket.delete(key)
        self._bytes -= self._sizes.pop(key, 0)
        self._marks.pop(key, None)

    def _fails(self, exc: AiopsError) -> None:
        if self._failing.due():
            log.warning("open incidents are not kept", reason=str(exc))
