"""LatencySummary, and what the processes of a fleet used. Numbers only; ``report`` shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import psutil

END_TO_END = "end to end"  # beside the names of the stages


@dataclass(frozen=True)
class LatencySummary:
    """Of *count* latencies, in milliseconds; NaN of none."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        ordered = sorted(values)
        if not ordered:
            return cls(0, math.nan, math.nan, math.nan, math.nan)
        return cls(len(ordered), *(_rank(ordered, q) for q in (0.5, 0.95, 0.99, 1.0)))


def _rank(ordered: Sequence[float], q: float) -> float:
    """The smallest value that at least *q* of all do not exceed (nearest-rank percentile)."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def by_stage(
    times: Sequence[Sequence[datetime]], names: Sequence[str]
) -> dict[str, LatencySummary]:
    """Latencies from each stage to the next, named by the later one, and ``END_TO_END``."""
    result = {
        name: LatencySummary.of(_ms(row[n], row[n + 1]) for row in times)
        for n, name in enumerate(names[1:])
    }
    result[END_TO_END] = LatencySummary.of(_ms(row[0], row[-1]) for row in times)
    return result


def _ms(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds() * 1000


@dataclass(frozen=True)
class Usage:
    """CPU of one process as a share of one core, and its resident memory in MiB."""

    cpu: float
    memory_mib: float


class Meter:
    """Use by each of *pids* between construction and ``read``; one that ended is left out."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {name: _cpu(p) for name, p in self._processes.items()}

    def read(self, seconds: float) -> dict[str, Usage]:
        alive = {name: p for name, p in self._processes.items() if p.is_running()}
        return {
            name: Usage((_cpu(p) - self._before[name]) / seconds, p.memory_info().rss / 2**20)
            for name, p in alive.items()
        }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
