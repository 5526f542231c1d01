"""The contract of all detectors, and what they share.

A detector judges one message at a time, by its event time and what came before; it does no I/O, has no
clock and never looks ahead. What it must remember is in a ``Lru`` called ``state``, which is bounded
and can be pickled.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from re import IGNORECASE, compile
from typing import Generic, Protocol, TypeVar

from pydantic import JsonValue

from aiops_core.models import Domain, LogEntry, MetricSample, Severity

Entry_contra = TypeVar("Entry_contra", contravariant=True)
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a message is anomalous. *reason* is a sentence: what was seen, what expected, since when."""

    anomaly_type: str
    domain: Domain
    severity: Severity
    score: float
    detector: str
    reason: str
    meta: dict[str, JsonValue] = field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None


class Detector(Protocol[Entry_contra]):
    def observe(self, entry: Entry_contra, /) -> Verdict | None:
        """What is wrong with *entry*, or None."""


def device_of(entry: LogEntry | MetricSample) -> str:
    """The device that speaks; the host stands in for one that the inventory lacks."""
    return entry.device_id or entry.host


def worst(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """The verdict of highest severity, then score; of equals the first."""
    found = [verdict for verdict in verdicts if verdict]
    return max(found, key=lambda v: (v.severity.rank, v.score), default=None)


class Lru(Generic[K, V]):
    """State per key for at most *most* keys; the one that was asked for longest ago is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K, make: Callable[[], V]) -> V:
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        if len(self._items) >= self._most:
            self._items.popitem(last=False)
        return self._items.setdefault(key, make())


def globs(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A test whether a text matches one of the shell globs, whatever its case."""
    if "*" in patterns:
        return lambda text: True
    matches = compile("|".join(map(translate, patterns)), IGNORECASE).match
    return lambda text: matches(text) is not None


def next_due(last: datetime, every: timedelta) -> datetime:
    """When an alarm that was given at *last* is repeated: at the next multiple of *every* on the clock.

    Bound to the clock and not to *last*, so that a restart, which may not know the first alarm any
    more, falls into the same rhythm: it is enough to have seen the last half of a period. A multiple
    closer than that half is left out.
    """
    period = every.total_seconds()
    slot = math.ceil((last.timestamp() + period / 2) / period)
    return datetime.fromtimestamp(slot * period, UTC)


def span(time: timedelta) -> str:
    """A length of time for a person: ``4 s``, ``2 min 5 s``, ``3 h 0 min``."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def clock(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"


def shown(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
