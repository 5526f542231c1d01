"""Which times of senders are believed, and steps of their clocks. Pure.

Events carry the times of their senders, which may be long ago: an imported log keeps its own times.
But no event is later than its arrival. An entry from a clock that is ahead, was never set, or lost
weeks gets the time of arrival; otherwise one entry from the year 2038 would make all later ones
late. The normaliser has seen to lines that it has read (decision 26): what is left are readings,
and lines of other clients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser import clocks as normaliser
from anomaly_detection.detectors.base import bounded_key, device_of, span
from anomaly_detection.detectors.state import Late, SegmentedLru

AHEAD = timedelta(seconds=5)  # tolerated difference between the clocks of one ship
SENDERS_KEPT = 20_000
AHEAD_OF, NEVER_SET, BACK = "ahead", "unset", "back"

AnyEntry = TypeVar("AnyEntry", bound=LogEntry | MetricSample)
OnStep = Callable[[str, str], None]  # gets the kind of the step, and a sentence


@dataclass(slots=True)
class SenderClock:
    """The newest time of one sender, in seconds since 1970; *wrong*: its last one was replaced."""

    newest: float
    wrong: bool = False
    late: Late = field(default_factory=Late)


class SenderClocks:
    """Reports every step of a sender's clock once."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step
        self._senders: SegmentedLru[SenderClock] = SegmentedLru(SENDERS_KEPT, SenderClock)

    def believed(self, entry: AnyEntry, stored_at: datetime) -> AnyEntry:
        """*entry*, which the broker stored at *stored_at*, with possible times only."""
        stamped = entry.stages.get("ingest", stored_at)
        arrival = stamped if normaliser.UNSET <= stamped <= stored_at + AHEAD else stored_at
        wrong = _is_wrong(entry.ts, arrival)
        ts = arrival if wrong else min(entry.ts, arrival + AHEAD)
        self._watch(entry, ts, arrival)
        if ts is entry.ts and arrival is stamped:
            return entry
        fields: dict[str, Any] = {"ts": ts, "stages": entry.stages | {"ingest": arrival}}
        if wrong and isinstance(entry, LogEntry):
            fields["labels"] = entry.labels | {normaliser.STATED: entry.ts.isoformat()}
        return entry.but(**fields)  # type: ignore[return-value]

    def _watch(self, entry: LogEntry | MetricSample, ts: datetime, arrival: datetime) -> None:
        now, device = ts.timestamp(), device_of(entry)
        key = bounded_key(entry.ship_id, device, entry.service)
        sender = self._senders.get(key, lambda: SenderClock(now))
        wrong = ts is not entry.ts
        if wrong and not sender.wrong:
            self._report(entry, arrival)
        sender.wrong = wrong
        if now >= sender.newest:
            sender.newest = now
            sender.late.over()
        elif sender.late.proves(now):
            by = timedelta(seconds=sender.newest - now)
            sender.newest = now
            self._on_step(BACK, f"{_name(entry)} was set back by {span(by)}, to {ts.isoformat()}")

    def _report(self, entry: LogEntry | MetricSample, arrival: datetime) -> None:
        name, says = _name(entry), f"it says {entry.ts.isoformat()}"
        if entry.ts < arrival:
            self._on_step(NEVER_SET, f"{name} was never set, {says}")
        else:
            self._on_step(AHEAD_OF, f"{name} is ahead by {span(entry.ts - arrival)}, {says}")


def _is_wrong(ts: datetime, arrival: datetime) -> bool:
    return (
        ts > arrival + normaliser.AHEAD
        or normaliser.never_set(ts)
        or normaliser.lost_weeks(ts, arrival)
    )


def _name(entry: LogEntry | MetricSample) -> str:
    return f"the clock of {entry.service} on {device_of(entry)} ({entry.ship_id})"
