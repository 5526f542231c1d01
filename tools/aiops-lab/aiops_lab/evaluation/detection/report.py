"""The result of an evaluation of readings, as tables for people and JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from rich.console import Group
from rich.table import Table

from aiops_lab.evaluation.detection.nab import NabSeries, Profile, Tally
from aiops_lab.evaluation.detection.run import FIXED, DetectedSeries, Results

PUBLISHED = "whole corpus, published: windowed Gaussian 39.6, random cut forest 51.7, HTM 70.1"


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one category at the fixed threshold. *delay*: mean share of a window before its alarm."""

    name: str
    series: int
    rows: int
    windows: int
    found: int
    false_alarms: int
    per_1000: float
    recall: float
    delay: float


@dataclass(frozen=True, slots=True)
class ProfileScores:
    """NAB scores of one profile: with the fixed threshold, and with the best one of others."""

    profile: str
    fixed: float
    cross_validated_by_series: float
    cross_validated_by_category: float


def scores(results: Results, profiles: Sequence[Profile]) -> list[ProfileScores]:
    return [
        ProfileScores(
            profile.name,
            results.fixed(profile),
            results.cross_validated(profile, by_category=False),
            results.cross_validated(profile, by_category=True),
        )
        for profile in profiles
    ]


def measures(results: Results) -> list[Measures]:
    """Measures of each category and of all series."""
    pairs = list(zip(results.corpus, results.tallies[FIXED], strict=True))
    names = sorted({series.category for series in results.corpus})
    parts = [_measured(name, [p for p in pairs if p[0].category == name]) for name in names]
    return [*parts, _measured("all", pairs)]


def _measured(name: str, pairs: Sequence[tuple[NabSeries, Tally]]) -> Measures:
    rows = sum(tally.scored_rows for _, tally in pairs)
    windows = sum(len(series.windows) for series, _ in pairs)
    found = sum(len(tally.found) for _, tally in pairs)
    false = sum(len(tally.false) for _, tally in pairs)
    delays = [_delay(series, tally) for series, tally in pairs if tally.found]
    return Measures(
        name,
        series=len(pairs),
        rows=rows,
        windows=windows,
        found=found,
        false_alarms=false,
        per_1000=1000 * false / max(rows, 1),
        recall=found / windows if windows else 1.0,
        delay=fmean(delays) if delays else 0.0,
    )


def _delay(series: NabSeries, tally: Tally) -> float:
    """Mean share of the found windows of *series* before their alarm."""
    limits = [(series.windows[window], row) for window, row in tally.found.items()]
    return fmean((row - first) / max(last - first, 1) for (first, last), row in limits)


def as_json(results: Results, profiles: Sequence[Profile]) -> dict[str, object]:
    series = zip(results.corpus, results.detected, results.tallies[FIXED], strict=True)
    return {
        "threshold": FIXED,
        "scores": [asdict(each) for each in scores(results, profiles)],
        "measures": [asdict(each) for each in measures(results)],
        "series": [_series(one, detected[FIXED], tally) for one, detected, tally in series],
    }


def _series(series: NabSeries, detected: DetectedSeries, tally: Tally) -> dict[str, object]:
    times = [at.isoformat() for at in series.times]
    return {
        "name": series.name,
        "windows": [[times[first], times[last]] for first, last in series.windows],
        "found": sorted(tally.found),
        "false_alarms": list(tally.false),
        "alarms": [
            {"row": row, "at": times[row], "reason": reason}
            for row, reason in zip(detected.alarms, detected.reasons, strict=True)
        ],
    }


def tables(results: Results, profiles: Sequence[Profile]) -> Group:
    nab = _table(
        "metric detectors: NAB score", "profile", "fixed", "cv by series", "cv by category"
    )
    nab.caption = f"0 is silence, 100 perfection; cv: threshold from the others; {PUBLISHED}"
    for one in scores(results, profiles):
        numbers = (one.fixed, one.cross_validated_by_series, one.cross_validated_by_category)
        nab.add_row(one.profile, *(f"{number:.1f}" for number in numbers))
    shown = _table(
        f"what is told from a score of {FIXED} on",
        *("series of", "files", "rows", "windows", "found"),
        *("recall", "delay", "false", "per 1,000"),
    )
    shown.caption = "delay: mean share of a window that had passed when it was found"
    for each in measures(results):
        shown.add_row(
            each.name,
            *(f"{n:,}" for n in (each.series, each.rows, each.windows, each.found)),
            f"{each.recall:.0%}",
            f"{each.delay:.0%}",
            str(each.false_alarms),
            f"{each.per_1000:.2f}",
            style="bold" if each.name == "all" else None,
        )
    return Group(nab, shown)


def _table(title: str, first: str, *columns: str) -> Table:
    shown = Table(title=title, title_justify="left", caption_justify="left")
    shown.add_column(first)
    for column in columns:
        shown.add_column(column, justify="right")
    return shown
