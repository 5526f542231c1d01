"""The NAB score, written from its definition (Lavin and Ahmad 2015, and the rules of its scorer).

Each series has labelled windows around its anomalies. The first alarm in a window scores up to 1,
the earlier the more; further alarms in it do not count; a window without an alarm costs. An alarm
outside costs the more, the further it is behind the last window. The first 15 % of a series (750
rows at most) are for learning: alarms there do not count. The sum over the corpus is scaled so that
silence is 0 and an alarm at the first row of every window is 100.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from aiops_core.errors import Misconfigured, why

PROBATION = 0.15  # of the rows of a series
LONGEST = 5000  # rows of a series from which the probation is counted, at most
FAR = 3.0  # widths behind the end of the last window, from which an alarm costs the most
STEEPNESS = 5.0


@dataclass(frozen=True, slots=True)
class Profile:
    """The weights of an application: *tp* found window, *fp* false alarm, *fn* missed window."""

    name: str
    tp: float
    fp: float
    fn: float


@dataclass(frozen=True)
class NabSeries:
    """One file. *windows* are the first and last row of each, inclusive."""

    name: str
    times: Sequence[datetime]
    values: Sequence[float]
    windows: Sequence[tuple[int, int]]

    @cached_property
    def probation(self) -> int:
        """Number of rows at the beginning that are for learning."""
        return math.floor(PROBATION * min(len(self.values), LONGEST))

    @property
    def category(self) -> str:
        return self.name.split("/")[0]

    def window_at(self, row: int) -> int | None:
        """The index of the window with *row*."""
        places = (n for n, (first, last) in enumerate(self.windows) if first <= row <= last)
        return next(places, None)


def scaled_sigmoid(position: float) -> float:
    """1 far before the end of a window (at 0), -1 far behind it."""
    return -1.0 if position > FAR else 2 / (1 + math.exp(STEEPNESS * position)) - 1


def reward(series: NabSeries, window: int, row: int) -> float:
    """The score of an alarm at *row* of *window*: 1 at its first row, near 0 at its last."""
    first, last = series.windows[window]
    position = -(last - row + 1) / (last - first + 1)
    return scaled_sigmoid(position) / scaled_sigmoid(-1.0)


def penalty(series: NabSeries, row: int) -> float:
    """The score of a false alarm at *row*: -1, or less shortly behind a window."""
    before = [window for window in series.windows if window[1] < row]
    if not before:
        return -1.0
    first, last = before[-1]
    return scaled_sigmoid((row - last) / max(last - first, 1))


@dataclass(frozen=True, slots=True)
class Tally:
    """*found* is window -> row of its first alarm; *false* are the rows of false alarms."""

    found: Mapping[int, int]
    false: Sequence[int]
    scored_rows: int

    def plain(self, series: NabSeries, profile: Profile) -> float:
        """The score before scaling."""
        hits = sum(reward(series, window, row) for window, row in self.found.items())
        costs = sum(penalty(series, row) for row in self.false)
        missed = len(series.windows) - len(self.found)
        return profile.tp * hits + profile.fp * costs - profile.fn * missed


def tally(series: NabSeries, alarms: Iterable[int]) -> Tally:
    """Sort the *alarms* (rows) of one series."""
    found: dict[int, int] = {}
    false = []
    for row in sorted(set(alarms)):
        if row < series.probation:
            continue
        window = series.window_at(row)
        if window is None:
            false.append(row)
        else:
            found.setdefault(window, row)
    return Tally(found, false, len(series.values) - series.probation)


def score(corpus: Sequence[NabSeries], tallies: Sequence[Tally], profile: Profile) -> float:
    """0 for silence, 100 for perfection; can be below 0."""
    windows = sum(len(series.windows) for series in corpus)
    if windows == 0:
        return 0.0
    plain = sum(t.plain(series, profile) for series, t in zip(corpus, tallies, strict=True))
    null, perfect = -profile.fn * windows, profile.tp * windows
    return 100 * (plain - null) / (perfect - null)


def load(folder: Path) -> list[NabSeries]:
    """Every ``category/name.csv`` in *folder* with its windows; raises Misconfigured."""
    labels = _json(folder / "windows.json")
    files = sorted(folder.glob("*/*.csv"))
    if not files:
        raise Misconfigured(f"{folder}: no series found, expected are files category/name.csv")
    return [_series(file, f"{file.parent.name}/{file.name}", labels) for file in files]


def load_profiles(folder: Path) -> list[Profile]:
    """The profiles of ``profiles.json``: standard, low false positives, low false negatives."""
    costs = {name: each["CostMatrix"] for name, each in _json(folder / "profiles.json").items()}
    return [
        Profile(name, cost["tpWeight"], cost["fpWeight"], cost["fnWeight"])
        for name, cost in costs.items()
    ]


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"{path}: cannot be read: {why(exc)}") from exc
    return content


def _series(path: Path, name: str, labels: Mapping[str, Sequence[tuple[str, str]]]) -> NabSeries:
    if name not in labels:
        raise Misconfigured(f"{path.parent.parent / 'windows.json'}: has no entry {name}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        times = [_time(row["timestamp"]) for row in rows]
        values = [float(row["value"]) for row in rows]
    except (KeyError, TypeError, ValueError) as exc:
        raise Misconfigured(f"{path}: expected are columns timestamp and value: {exc!r}") from exc
    windows = [_rows(path, times, first, last) for first, last in labels[name]]
    return NabSeries(name, times, values, windows)


def _rows(path: Path, times: Sequence[datetime], first: str, last: str) -> tuple[int, int]:
    start, end = _time(first), _time(last)
    inside = [row for row, at in enumerate(times) if start <= at <= end]
    if not inside:
        raise Misconfigured(f"{path}: has no row in its window from {first} to {last}")
    return inside[0], inside[-1]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
