"""The contract of all detectors, their findings, and helpers for keys and sentences.

A detector judges one entry at a time, by the time of the entry and by earlier entries. It does no
I/O, has no clock and never looks ahead. Its state is bounded and can be written as JSON.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Generic, Self, TypeVar

from pydantic import JsonValue

from aiops_core.models import Domain, LogEntry, MetricSample, Severity
from anomaly_detection.detectors.state import Key, SegmentedLru, State
from anomaly_detection.rules import DetectorName, Judgement

Entry = TypeVar("Entry", LogEntry, MetricSample)

SENDERS = 16_384  # senders whose rules and settings are cached
LONGEST_KEY = 1000  # characters


@dataclass(frozen=True, slots=True)
class EntrySource:
    """The sender that a finding is about."""

    ship_id: str
    host: str
    device_id: str | None = None
    service: str = "unknown"

    @classmethod
    def of(cls, entry: LogEntry | MetricSample) -> Self:
        return cls(entry.ship_id, entry.host, entry.device_id, entry.service or "unknown")

    @property
    def device(self) -> str:
        return self.device_id or self.host


@dataclass(frozen=True, slots=True)
class Detected:
    """An anomaly. *reason* is a sentence: observed, expected, since when.

    *at* is the time of the entry, or the moment from which the absence of entries was the proof.
    """

    source: EntrySource
    at: datetime
    anomaly_type: str
    severity: Severity
    score: float
    detector: DetectorName
    reason: str
    domain: Domain | None = None  # without one, that of its service
    component: str = ""  # the part of the device that it is about, see component_of
    state: bool | None = None  # whether it lasts until it is cleared; None: its type decides
    meta: Mapping[str, JsonValue] = field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    template_id: str | None = None
    template: str | None = None
    msg: str | None = None  # replaces the text of an entry that only let time pass

    @classmethod
    def by(
        cls,
        detector: DetectorName,
        rule: Judgement,
        source: EntrySource,
        at: datetime,
        reason: str,
        **more: Any,
    ) -> Self:
        """With name, severity and score of *rule*."""
        return cls(
            source, at, rule.anomaly_type, rule.severity, rule.score, detector, reason, **more
        )


@dataclass(frozen=True, slots=True)
class Cleared:
    """An anomaly since *started* has ended at *at*: proved by an entry, never by silence."""

    source: EntrySource
    at: datetime
    anomaly_types: tuple[str, ...]
    detector: DetectorName
    reason: str
    started: datetime | None = None
    metric: str | None = None
    peak: float | None = None
    peer: str | None = None
    component: str = ""
    confidence: float = 1.0  # below 1 when the end is inferred


Finding = Detected | Cleared


class Detector(ABC, Generic[Entry]):
    """Checked by ``tests/unit/anomaly_detection/test_detector_battery.py``."""

    name: DetectorName
    state: SegmentedLru[Any] | None = None  # of detectors that remember something per key

    @abstractmethod
    def observe(self, entry: Entry, /) -> Sequence[Finding]:
        """The findings of *entry*. A duplicate or a late entry proves nothing."""

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        """The findings of the time without entries up to *now*, once per alarm.

        ``at`` follows from the entries and not from *now*: after a restart the same finding comes
        again, which is published once.
        """
        return ()

    def parts(self) -> Iterator[State]:
        """The state at this call, least recently used first; entries may come between parts."""
        return iter(()) if self.state is None else self.state.parts()

    def snapshot(self) -> State:
        return {key: value for part in self.parts() for key, value in part.items()}

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """Add a snapshot, or a part of one. Raises ValueError for something else."""
        if self.state is not None:
            self.state.restore(state)


def device_of(entry: LogEntry | MetricSample) -> str:
    """The ``device_id``, or the host of an entry without one."""
    return entry.device_id or entry.host


def worst(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Every Cleared, and of Detected the one of highest severity, then score, then the first."""
    found = list(findings)
    if len(found) < 2:
        return found
    detected = [finding for finding in found if isinstance(finding, Detected)]
    cleared = [finding for finding in found if isinstance(finding, Cleared)]
    return [*sorted(detected, key=lambda one: (-one.severity.rank, -one.score))[:1], *cleared]


def labels(sample: MetricSample) -> Iterator[str]:
    """The labels of *sample* as parts of a key."""
    return (f"{k}={v}" for k, v in sorted(sample.labels.items()))


def bounded_key(*parts: str) -> Key:
    """A key of *parts*; if they are long, the first part and a digest of all."""
    if sum(map(len, parts)) <= LONGEST_KEY:
        return parts
    rest = sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return (parts[0][:LONGEST_KEY], rest)


def next_due(last: datetime, every: timedelta) -> datetime:
    """When an alarm reported at *last* is repeated: at the next multiple of *every* on the clock.

    Bound to the clock and not to *last*: after a restart without the first alarm the rhythm is the
    same, if the last half of a period is known. A multiple closer than that half is left out.
    """
    period = every.total_seconds()
    slot = math.ceil((last.timestamp() + period / 2) / period)
    return datetime.fromtimestamp(slot * period, UTC)


def span(time: timedelta) -> str:
    """A duration for people: ``4 s``, ``2 min 5 s``, ``3 h 0 min``."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def clock(at: datetime) -> str:
    """The time of day of *at* in UTC. ``strftime`` takes three times as long."""
    return f"{at.hour:02}:{at.minute:02}:{at.second:02} UTC"


def shown(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
