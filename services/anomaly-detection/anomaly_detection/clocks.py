"""Whose clock can be believed, and who set his. Pure.

Events have the times of their senders, which may be long ago: old logs are read in, in their own time. But
nothing happens after it has arrived. A sender whose clock is ahead, or was never set, gets the time
of arrival; else one entry from the year 2038 would make all that follows it late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from aiops_core.models import LogEntry, MetricSample
from anomaly_detection.detectors.base import Lru, device_of, short, span
from anomaly_detection.detectors.late import Late

AHEAD = timedelta(seconds=5)  # by which clocks of one ship may differ without being wrong
UNSET = datetime(1990, 1, 1, tzinfo=UTC)  # what says an earlier time was never set
SENDERS_KEPT = 20_000
HOST, AHEAD_OF, NEVER_SET, BACK = "host", "ahead", "unset", "back"

Entry = TypeVar("Entry", bound=LogEntry | MetricSample)
Noticed = Callable[[str, str], None]  # is told of a step: what kind, and a sentence


@dataclass(slots=True)
class Sender:
    """The newest time of one sender, in seconds since 1970; *wrong*: its last time was not believed."""

    newest: float
    wrong: bool = False
    late: Late = field(default_factory=Late)


class Clocks:
    """Tells *noticed* of every step of a sender's clock, once."""

    def __init__(self, noticed: Noticed) -> None:
        self._noticed = noticed
        self._senders: Lru[Sender] = Lru(SENDERS_KEPT)

    def believed(self, entry: Entry, at: datetime) -> Entry:
        """*entry*, which the broker stored *at*, with times that can be."""
        said = entry.stages.get("ingest", at)
        arrival = said if UNSET <= said <= at + AHEAD else at
        latest = arrival + AHEAD
        ts = arrival if entry.ts < UNSET else min(entry.ts, latest)
        self._watch(entry, ts, arrival)
        if ts is entry.ts and arrival is said:
            return entry
        return entry.but(ts=ts, stages=entry.stages | {"ingest": arrival})  # type: ignore[return-value]

    def _watch(self, entry: LogEntry | MetricSample, ts: datetime, arrival: datetime) -> None:
        now, device = ts.timestamp(), device_of(entry)
        key = short(entry.ship_id, device, entry.service)
        sender = self._senders.get(key, lambda: Sender(now))
        wrong = ts is not entry.ts
        if wrong and not sender.wrong:
            self._not_believed(entry, arrival)
        sender.wrong = wrong
        if now >= sender.newest:
            sender.newest = now
            sender.late.over()
        elif sender.late.proves(now):
            by = timedelta(seconds=sender.newest - now)
            sender.newest = now
            self._noticed(BACK, f"{_name(entry)} was set back by {span(by)}, to {ts.isoformat()}")

    def _not_believed(self, entry: LogEntry | MetricSample, arrival: datetime) -> None:
        if entry.ts < UNSET:
            self._noticed(
                NEVER_SET, f"{_name(entry)} was never set, it says {entry.ts.isoformat()}"
            )
        else:
            by = span(entry.ts - arrival)
            self._noticed(
                AHEAD_OF, f"{_name(entry)} is ahead by {by}, it says {entry.ts.isoformat()}"
            )


def _name(entry: LogEntry | MetricSample) -> str:
    return f"the clock of {entry.service} on {device_of(entry)} ({entry.ship_id})"
