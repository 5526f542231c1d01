"""How the disk does beside a load. What is acknowledged is synced, so nothing is faster than the disk; on a shared
machine it stops for a while now and then, and whoever compares runs must know when."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from aiops_core.runtime.service import utc_now
from aiops_lab.bench.measure import Percentiles

EVERY = 0.05  # seconds between two syncs; more of them would slow down what is measured
BLOCK = bytes(4096)
STALL = timedelta(milliseconds=50)  # of a sync that takes 0.4 ms on a calm disk


@dataclass(frozen=True)
class Sync:
    """One block that was written and synced, from *start* to *end*."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def stalled(self) -> bool:
        return self.end - self.start > STALL

    def meets(self, start: datetime, end: datetime) -> bool:
        """Whether something from *start* to *end* fell into it; it may have begun before we noticed."""
        return start <= self.end and self.start - timedelta(seconds=EVERY) <= end


@dataclass
class DiskWatch:
    """The syncs beside one load, in their order."""

    syncs: list[Sync] = field(default_factory=list)

    @property
    def latency(self) -> Percentiles:
        return Percentiles.of(sync.seconds * 1000 for sync in self.syncs)

    @property
    def stalls(self) -> list[Sync]:
        return [sync for sync in self.syncs if sync.stalled]

    def calm(self, times: Sequence[Sequence[datetime]]) -> list[Sequence[datetime]]:
        """Those ways, each from its first to its last time, that met no stall."""
        stalls = self.stalls
        return [way for way in times if not any(s.meets(way[0], way[-1]) for s in stalls)]


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[DiskWatch]:
    """Sync a block in *folder* all the time while the body runs, in a thread that waits for the disk only."""
    watch, stop = DiskWatch(), threading.Event()
    thread = threading.Thread(target=_sync_forever, args=(folder / "sync", watch, stop))
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def _sync_forever(file: Path, watch: DiskWatch, stop: threading.Event) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while not stop.wait(EVERY):
            start, began = utc_now(), time.monotonic()
            os.pwrite(handle, BLOCK, 0)
            os.fsync(handle)
            took = timedelta(seconds=time.monotonic() - began)
            watch.syncs.append(Sync(start, start + took))
    finally:
        os.close(handle)
        file.unlink()
