"""Template mining and alarms on folders laid out like loghub.

``SYSTEM_*_structured.csv`` has a log line per row: ``Content``, ``EventId`` (the true template)
and, in some systems, ``Label`` (``-`` for normal lines). Every system is read with the
configuration of production. Two usual measures say how well lines are grouped into templates:

*GA*, grouping accuracy (Zhu et al., "Tools and Benchmarks for Automated Log Parsing", ICSE-SEIP
2019): the share of lines in groups that hold exactly the lines of one true template.
*FGA*, F1 of group accuracy (Jiang et al., "A Large-Scale Evaluation for Log Parsing Techniques",
ISSTA 2024, after Khan et al., ICSE 2022): the harmonic mean of the share of found groups that are
exactly right and the share of true templates that are found; rare templates count as much as
frequent ones.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from rich.table import Table

from aiops_core.errors import Misconfigured, why
from aiops_core.models import AnomalyDetected, AnomalyDigested, LogEntry
from aiops_core.normaliser.levels import from_message, from_word
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.templates.mining import Miner

Row = Mapping[str, str]
START = datetime(2026, 1, 1, tzinfo=UTC)  # of logs whose rows have no time
NORMAL = "-"  # label


@dataclass(frozen=True)
class GroupingAccuracy:
    """Numbers of *found* and of *true* groups; *right* groups are in both."""

    lines: int
    ga: float
    fga: float
    found: int
    true: int
    right: int


def compare(found: Sequence[Hashable], true: Sequence[Hashable]) -> GroupingAccuracy:
    """Compare groupings, each given as one label per line; raises ValueError without lines."""
    if not true or len(found) != len(true):
        raise ValueError(f"{len(found)} found labels for {len(true)} lines")
    groups, truth = set(_groups(found)), set(_groups(true))
    right = groups & truth
    return GroupingAccuracy(
        lines=len(true),
        ga=sum(map(len, right)) / len(true),
        fga=2 * len(right) / (len(groups) + len(truth)),  # = harmonic mean of precision and recall
        found=len(groups),
        true=len(truth),
        right=len(right),
    )


def _groups(labels: Iterable[Hashable]) -> Iterable[tuple[int, ...]]:
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    return map(tuple, places.values())


@dataclass(frozen=True)
class Alarms:
    """Numbers of lines *labelled* as anomalous, *alarmed* by detection (also those that it
    digests), and both (*right*)."""

    labelled: int
    alarmed: int
    right: int

    @property
    def precision(self) -> float:
        return self.right / self.alarmed if self.alarmed else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.labelled if self.labelled else 0.0

    @property
    def f1(self) -> float:
        both = self.labelled + self.alarmed
        return 2 * self.right / both if both else 0.0


@dataclass(frozen=True)
class System:
    """One log: its templates after all lines were *learned*, and *online*, when each line came."""

    name: str
    learned: GroupingAccuracy
    online: GroupingAccuracy
    alarms: Alarms | None


def score(folder: Path, policy: DetectPolicy) -> Sequence[System]:
    """Every system below *folder*; raises Misconfigured when there is none."""
    files = sorted(folder.rglob("*_structured.csv"))
    if not files:
        raise Misconfigured(
            f"{folder}: no *_structured.csv in it; give a folder laid out like loghub"
        )
    return [_score(file, policy) for file in files]


def _score(file: Path, policy: DetectPolicy) -> System:
    rows = _rows(file)
    lines, true = [row["Content"] for row in rows], [row["EventId"] for row in rows]
    miner = Miner(policy.templates.kept)
    online = [miner.learn(line).template_id for line in lines]
    learned = [miner.learn(line).template_id for line in lines]
    labels = [row["Label"] for row in rows] if "Label" in rows[0] else None
    return System(
        name=file.name.split("_")[0],
        learned=compare(learned, true),
        online=compare(online, true),
        alarms=_alarms(rows, labels, policy) if labels else None,
    )


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", errors="replace", newline="") as text:
            rows = list(csv.DictReader(text))
    except OSError as exc:
        raise Misconfigured(f"{file}: cannot be read: {why(exc)}") from exc
    if not rows or not {"Content", "EventId"} <= rows[0].keys():
        raise Misconfigured(f"{file}: needs rows with the columns Content and EventId")
    return rows


def _alarms(rows: Sequence[Row], labels: Sequence[str], policy: DetectPolicy) -> Alarms:
    detection = Detection(policy)
    alarmed = right = 0
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        found = detection.on_line(_entry(number, row))
        if any(isinstance(message, AnomalyDetected | AnomalyDigested) for message in found):
            alarmed += 1
            right += label != NORMAL
    return Alarms(sum(label != NORMAL for label in labels), alarmed, right)


def _entry(number: int, row: Row) -> LogEntry:
    """The row as a message; rows without a time in seconds are one second apart."""
    seconds = row.get("Timestamp", "")
    at = float(seconds) if seconds.isdecimal() else START.timestamp() + number
    return LogEntry(
        tracking_id=f"row-{number}",
        ship_id="eval",
        ts=datetime.fromtimestamp(at, UTC),
        host=row.get("Node") or "eval",
        service=row.get("Component") or "unknown",
        level=from_word(row.get("Level", "")) or from_message(row["Content"]),
        msg=row["Content"],
    )


def means(systems: Sequence[System]) -> tuple[float, float]:
    """Mean GA and mean FGA of the systems."""
    return fmean(s.learned.ga for s in systems), fmean(s.learned.fga for s in systems)


def as_json(systems: Sequence[System]) -> dict[str, object]:
    ga, fga = means(systems)
    return {"ga": ga, "fga": fga, "systems": [_json(system) for system in systems]}


def _json(system: System) -> dict[str, object]:
    found = system.alarms
    scores = found and {"precision": found.precision, "recall": found.recall, "f1": found.f1}
    return asdict(system) | {"alarms": found and asdict(found) | (scores or {})}


def table(systems: Sequence[System]) -> Table:
    ga, fga = means(systems)
    shown = Table(title="log templates", title_justify="left", caption_justify="left")
    shown.caption = "after all lines were learned; online: the template told when the line came"
    for name in ("system", "lines", "templates", "GA", "FGA", "GA online", "FGA online", "alarms"):
        shown.add_column(name, justify="left" if name in ("system", "alarms") else "right")
    for system in systems:
        shown.add_row(*_cells(system))
    online = fmean(s.online.ga for s in systems), fmean(s.online.fga for s in systems)
    numbers = (f"{value:.3f}" for value in (ga, fga, *online))
    shown.add_row("mean", "", "", *numbers, "", style="bold")
    return shown


def _cells(system: System) -> tuple[str, ...]:
    after, online, alarms = system.learned, system.online, system.alarms
    numbers = (f"{value:.3f}" for value in (after.ga, after.fga, online.ga, online.fga))
    scores = f"P {alarms.precision:.2f} R {alarms.recall:.2f} F1 {alarms.f1:.2f}" if alarms else "-"
    return system.name, str(after.lines), f"{after.found} of {after.true}", *numbers, scores
