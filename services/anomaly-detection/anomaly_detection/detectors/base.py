"""The contract of all detectors, and what they share.

A detector judges one entry at a time, by the entry's own time and what came before; it does no I/O,
has no clock and never looks ahead. What it must remember is bounded and can be taken out as JSON.
"""

from __future__ import annotations

import json
import math
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from hashlib import sha256
from re import IGNORECASE, compile
from typing import Generic, Protocol, TypeVar, runtime_checkable

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import Domain, LogEntry, MetricSample, Severity
from anomaly_detection.detectors.image import Image

Entry_contra = TypeVar("Entry_contra", contravariant=True)
V = TypeVar("V")

Key = tuple[str, ...]
LONGEST_KEY = 1000  # characters
Snapshot = dict[str, JsonValue]  # by the key of whatever is remembered: it may be cut into parts


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a finding is about."""

    ship_id: str
    host: str
    device_id: str | None = None
    service: str = "unknown"

    @classmethod
    def of(cls, entry: LogEntry | MetricSample) -> Origin:
        return cls(entry.ship_id, entry.host, entry.device_id, entry.service or "unknown")

    @property
    def device(self) -> str:
        return self.device_id or self.host


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something is wrong. *reason* is a sentence: what was seen, what expected, since when.

    *at* is the time of the entry, or the moment from which the passing of time was the proof.
    """

    origin: Origin
    at: datetime
    anomaly_type: str
    domain: Domain
    severity: Severity
    score: float
    detector: str
    reason: str
    meta: Mapping[str, JsonValue] = field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    template_id: str | None = None
    template: str | None = None
    msg: str | None = None  # in place of the entry, where that is only what let time pass


@dataclass(frozen=True, slots=True)
class Ended:
    """An episode that began at *started* is over at *at*: a positive sign, never mere silence."""

    origin: Origin
    at: datetime
    anomaly_types: tuple[str, ...]
    detector: str
    reason: str
    started: datetime | None = None
    metric: str | None = None
    peak: float | None = None
    peer: str | None = None


Finding = Verdict | Ended


class Detector(Protocol[Entry_contra]):
    """What the battery in ``tests/unit/anomaly_detection/test_detector_battery.py`` checks of each."""

    name: str

    def observe(self, entry: Entry_contra, /) -> Sequence[Finding]:
        """What *entry* proves. The same entry again, and one that is late, prove nothing."""

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        """What is proved by time that passed without entries, up to *now*.

        Once per episode; ``at`` follows from what was seen and not from *now*, so that whoever asks
        after a restart is told the same finding, which is published once.
        """

    def snapshot(self) -> Snapshot:
        """All that is remembered, the longest unused first; bounded."""

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """Remember what a snapshot, or a part of one, says: the same future as if never stopped."""


@runtime_checkable
class Imaged(Protocol):
    """A detector whose snapshot can be taken in parts, while entries go on being observed."""

    def image(self) -> Iterator[Snapshot]:
        """The snapshot of the moment of this call."""


class Memoryless:
    """The rest of the contract for who judges every entry by itself."""

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        return ()

    def snapshot(self) -> Snapshot:
        return {}

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """There is nothing to remember."""


def device_of(entry: LogEntry | MetricSample) -> str:
    """The device that speaks; the host stands in for one that the inventory lacks."""
    return entry.device_id or entry.host


def worst(findings: Iterable[Finding]) -> Sequence[Finding]:
    """What to tell of all findings about one entry: every end, and of what is wrong the worst.

    That is the verdict of highest severity, then score; of equals the first.
    """
    found = list(findings)
    if len(found) < 2:
        return found
    wrong = [finding for finding in found if isinstance(finding, Verdict)]
    ended = [finding for finding in found if isinstance(finding, Ended)]
    return [*sorted(wrong, key=lambda v: (-v.severity.rank, -v.score))[:1], *ended]


class Lru(Generic[V]):
    """State per key for at most *most* keys; the one that was asked for longest ago is forgotten.

    Keys that were asked for only once go first while they are more than a quarter: who sends under
    ever new names pushes out such newcomers, not what is known.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Key, V] = OrderedDict()
        self._new: OrderedDict[Key, V] = OrderedDict()
        self._image: Image[Key, V] | None = None

    def __len__(self) -> int:
        return len(self._known) + len(self._new)

    def get(self, key: Key, make: Callable[[], V]) -> V:
        if self._image is not None:
            self._keep(key)
        value = self._known.get(key)
        if value is not None:
            self._known.move_to_end(key)
            return value
        if key in self._new:
            value = self._known[key] = self._new.pop(key)
            return value
        value = make()
        self._make_room()
        self._new[key] = value
        return value

    def put(self, key: Key, value: V) -> None:
        """Replace what ``get`` gave, or know *key* from now on."""
        self.put_all([(key, value)])

    def put_all(self, items: Iterable[tuple[Key, V]]) -> None:
        """All of them at once: nothing can go wrong in between."""
        items = list(items)
        self._keep(*(key for key, _ in items))
        for key, value in items:
            if key in self._new:
                self._new[key] = value
                continue
            if key not in self._known:
                self._make_room()
            self._known[key] = value

    def items(self) -> Sequence[tuple[Key, V]]:
        """The longest unused first."""
        every = [*self._new.items(), *self._known.items()]
        self._keep(*(key for key, _ in every))
        return every

    def image(self, how: TypeAdapter[V]) -> Iterator[Snapshot]:
        """What ``dump`` gives now, in small pieces that may be taken while entries go on being observed."""
        self._image = Image(
            ChainMap(self._known, self._new),
            lambda key, value: {json.dumps(key): how.dump_python(value, mode="json")},
        )
        return self._image.pieces()

    def _make_room(self) -> None:
        if len(self) < self._most:
            return
        from_ = self._new if len(self._new) > self._most // 4 or not self._known else self._known
        oldest = next(iter(from_))
        self._keep(oldest)
        del from_[oldest]

    def _keep(self, *keys: Key) -> None:
        """The image that is being taken must not see what happens to them now."""
        if self._image is not None and self._image.over:
            self._image = None
        if self._image is not None:
            for key in keys:
                self._image.keep(key)

    def dump(self, how: TypeAdapter[V]) -> Snapshot:
        every = [*self._new.items(), *self._known.items()]
        return {json.dumps(key): how.dump_python(value, mode="json") for key, value in every}

    def load(self, how: TypeAdapter[V], state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError when *state* is of another kind."""
        for key, value in state.items():
            self.put(tuple(json.loads(key)), how.validate_python(value))


def labels(sample: MetricSample) -> Iterator[str]:
    """The labels of *sample* as parts of a key."""
    return (f"{k}={v}" for k, v in sorted(sample.labels.items()))


def short(*parts: str) -> Key:
    """A key of *parts*; when they are long, of a digest in place of all after the first."""
    if sum(map(len, parts)) <= LONGEST_KEY:
        return parts
    rest = sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return (parts[0][:LONGEST_KEY], rest)


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
    """Of a time in UTC. Written out, because ``strftime`` takes three times as long."""
    return f"{at.hour:02}:{at.minute:02}:{at.second:02} UTC"


def shown(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
