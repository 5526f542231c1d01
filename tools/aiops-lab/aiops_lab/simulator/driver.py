"""Plays events in real time, faster, or as fast as they are accepted. *emit* knows the broker."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, islice
from math import inf

from aiops_core.models import Level
from aiops_lab.simulator.scenario import Event
from aiops_lab.simulator.traffic import SimulatedLine
from aiops_lab.simulator.truth import TruthRole
from aiops_lab.simulator.voyage import Emit, Voyage

TICK = 0.05  # s of real time whose events are emitted together, at its end
LARGEST_BATCH = 500

Sleep = Callable[[float], Awaitable[None]]


@dataclass
class PlaySummary:
    """What was emitted so far; *offset* is the scenario's time, *elapsed* the real one, in s."""

    lines: int = 0
    readings: int = 0
    faulty: int = 0
    offset: float = 0.0
    elapsed: float = 0.0
    levels: Counter[Level] = field(default_factory=Counter)

    def add(self, event: Event) -> None:
        self.offset = event.offset
        if isinstance(event.body, SimulatedLine):
            self.lines += 1
            self.levels[event.body.level] += 1
        else:
            self.readings += 1
        if event.truth and event.truth.role in (TruthRole.CAUSE, TruthRole.SYMPTOM):
            self.faulty += 1


async def play(
    events: Iterable[Event],
    emit: Emit,
    run: Voyage,
    *,
    speed: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    now: Callable[[], datetime] | None = None,
    progress: Callable[[PlaySummary], None] | None = None,
) -> PlaySummary:
    """Emit *events* in batches, *speed* times as fast as they happened (``inf``: without waiting).

    With *now* messages are stamped with the real time of their publication as ``stages.ingest``.
    *progress* sees the same summary after every batch.
    """
    summary, start = PlaySummary(), clock()
    for due, batch in _batches(events, speed):
        await sleep(max(0.0, start + due - clock()))  # at least others get their turn
        ingest = now() if now else None
        await emit([run.message(event, ingest) for event in batch])
        for event in batch:
            summary.add(event)
        summary.elapsed = clock() - start
        if progress:
            progress(summary)
    return summary


def _batches(events: Iterable[Event], speed: float) -> Iterator[tuple[float, list[Event]]]:
    """Events of one tick together, with the real time after the start at which they are due."""
    for tick, group in groupby(events, lambda event: int(event.offset / speed / TICK)):
        while batch := list(islice(group, LARGEST_BATCH)):
            yield (tick + 1) * TICK if speed < inf else 0.0, batch


def start_of(duration: float, speed: float, now: datetime) -> datetime:
    """The t0 of a run that starts now, such that no event is emitted before its time."""
    return now - timedelta(seconds=max(0.0, duration * (1 - 1 / speed)))
