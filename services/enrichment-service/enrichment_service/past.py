"""What came before: counts by minute, and the newest anomalies of each fingerprint. Pure."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta

from aiops_core.bounded import BoundedDict
from aiops_core.models import Anomaly, SimilarAnomaly

Key = tuple[str, ...]
Blocks = dict[int, "array[int]"]

DAY = 24 * 60  # minutes
WHOLE = 60  # index of the sum of an hour, after its minutes
BLOCKS_KEPT = 50  # hours of one key; a day has 25, the others are for late events and wrong clocks
KEYS_KEPT = 10_000  # up to 100 MB, 4 MB for a ship of 40 devices

FINGERPRINTS_KEPT = 10_000
SHOWN = 5
EACH_KEPT = SHOWN + 1  # one may be the anomaly itself
AGE = timedelta(days=7)
AHEAD = timedelta(minutes=1)  # tolerance for the time of an earlier anomaly
MSG_KEPT = 200  # characters


def minute_of(at: datetime) -> int:
    return int(at.timestamp()) // 60


class MinuteCounts:
    """Counts per key and minute, in blocks of one hour.

    Of a key the oldest block is evicted, of all keys the least recently used one. No clock is
    involved: an event with a wrong time evicts nothing else.
    """

    def __init__(self, keys_kept: int = KEYS_KEPT) -> None:
        self._keys_kept = keys_kept
        self._series: OrderedDict[Key, Blocks] = OrderedDict()

    def __len__(self) -> int:
        return len(self._series)

    def add(self, key: Key, minute: int, number: int = 1) -> None:
        block, place = self.slot(key, minute)
        block[place] += number
        block[WHOLE] += number

    def slot(self, key: Key, minute: int) -> tuple[array[int], int]:
        """The block of the hour of *minute*, and the index in it."""
        hour, place = divmod(minute, 60)
        return self._block(key, hour), place

    def within(self, key: Key, minute: int, minutes: int) -> int:
        """Events in the last *minutes* up to the end of *minute*."""
        blocks = self._series.get(key)
        if blocks is None:
            return 0
        (oldest, since), (newest, until) = divmod(minute - minutes + 1, 60), divmod(minute, 60)
        if oldest == newest:
            return _part(blocks, newest, since, until)
        number = _part(blocks, oldest, since, 59) + _part(blocks, newest, 0, until)
        for hour in range(oldest + 1, newest):  # no generator: it takes half the time again
            if hour in blocks:
                number += blocks[hour][WHOLE]
        return number

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._series))

    def move(self, old: Key, new: Key) -> None:
        """Add the counts of *old* to those of *new*."""
        for hour, block in self._series.pop(old, {}).items():
            mine = self._block(new, hour)
            for place, number in enumerate(block):  # the whole hour among them
                mine[place] += number

    def _block(self, key: Key, hour: int) -> array[int]:
        blocks = self._series.setdefault(key, {})
        self._series.move_to_end(key)
        if len(self._series) > self._keys_kept:
            self._series.popitem(last=False)
        if hour not in blocks:
            blocks[hour] = array("Q", bytes((WHOLE + 1) * 8))
            if len(blocks) > BLOCKS_KEPT:
                del blocks[next(iter(blocks))]
        return blocks[hour]


def _part(blocks: Blocks, hour: int, first: int, last: int) -> int:
    """The sum of the minutes *first* to *last* of *hour*."""
    block = blocks.get(hour)
    return sum(block[first : last + 1]) if block else 0


class SimilarAnomalies:
    def __init__(self) -> None:
        self._kept: BoundedDict[str, tuple[SimilarAnomaly, ...]] = BoundedDict(FINGERPRINTS_KEPT)

    def __len__(self) -> int:
        return len(self._kept)

    def before(self, fingerprint: str, id: str, ts: datetime) -> tuple[SimilarAnomaly, ...]:
        """Up to 5 of the 7 days before *ts* other than *id*, newest first."""
        oldest = ts - AGE
        others = [
            s
            for s in self._kept.get(fingerprint, ())
            if s.anomaly_id != id and oldest <= s.ts <= ts
        ]
        return tuple(others[:SHOWN])

    def add(self, fingerprint: str, id: str, anomaly: Anomaly) -> None:
        """Keep *anomaly* if it is among the newest; drop those that a wrong clock dated ahead."""
        latest = max(anomaly.stages.values(), default=anomaly.ts) + AHEAD
        known = self._kept.get(fingerprint, ())
        while known and known[0].ts > latest:
            known = known[1:]
        late = len(known) == EACH_KEPT and anomaly.ts < known[-1].ts
        if not late and not _has(known, id):
            similar = SimilarAnomaly.of_valid(
                anomaly_id=id,
                ts=anomaly.ts,
                severity=anomaly.severity,
                msg=anomaly.msg[:MSG_KEPT],
                incident_id=None,
            )
            self._keep(fingerprint, similar, known)

    def put(self, fingerprint: str, similar: SimilarAnomaly) -> None:
        """Keep *similar* if it is new and among the newest."""
        known = self._kept.get(fingerprint, ())
        if not _has(known, similar.anomaly_id):
            self._keep(fingerprint, similar, known)

    def _keep(
        self, fingerprint: str, similar: SimilarAnomaly, known: tuple[SimilarAnomaly, ...]
    ) -> None:
        newest = (similar, *known)
        if known and similar.ts < known[0].ts:
            newest = tuple(sorted(newest, key=lambda s: s.ts, reverse=True))
        self._kept.put(fingerprint, newest[:EACH_KEPT])

    def set_membership(self, fingerprint: str, anomaly_id: str, incident_id: str) -> None:
        """Set the incident of an earlier anomaly."""
        known = self._kept.get(fingerprint, ())
        if _has(known, anomaly_id):
            self._kept[fingerprint] = tuple(
                s.but(incident_id=incident_id) if s.anomaly_id == anomaly_id else s for s in known
            )


def _has(known: tuple[SimilarAnomaly, ...], id: str) -> bool:
    return id in [s.anomaly_id for s in known]
