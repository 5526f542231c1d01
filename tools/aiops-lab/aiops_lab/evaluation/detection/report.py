"""The measures of an evaluation of readings, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from rich.console import Group
from rich.table import Table

from aiops_lab.evaluation.detection.nab import Profile, Series, Tally
from aiops_lab.evaluation.detection.run import FIXED, Results

PUBLISHED = "whole corpus, published: windowed Gaussian 39.6, random cut forest 51.7, HTM 70.1"


@dataclass(frozen=True, slots=True)
class Measures:
    """Of some series at the fixed threshold. *delay*: mean share of a window that had passed."""

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
class Scores:
    """The NAB score of one profile: threshold fixed in advance, and chosen on the other series."""

    profile: str
    fixed: float
    cross_validated_by_series: float
    cross_validated_by_category: float


def scores(results: Results, profiles: Sequence[Profile]) -> list[Scores]:
    return [
        Scores(
            profile.name,
            results.fixed(profile),
            results.cross_validated(profile, by_category=False),
            results.cross_validated(profile, by_category=True),
        )
        for profile in profiles
    ]


def measures(results: Results) -> list[Measures]:
    """By category, and of all."""
    pairs = list(zip(results.corpus, results.tallies[FIXED], strict=True))
    names = sorted({series.category for series in results.corpus})
    parts = [_measured(name, [p for p in pairs if p[0].category == name]) for name in names]
    return [*parts, _measured("all", pairs)]


def _measured(name: str, pairs: Sequence[tuple[Series, Tally]]) -> Measures:
    rows = sum(tally.scored_rows for _, tally in pairs)
    windows = sum(len(series.windows) for series, _ in pairs)
    found = sum(len(tally.found) for _, tally in pairs)
    false = sum(len(tally.false) for _, tally in pairs)
    delays = [_delay(series, tally) for series, tally in pairs for tally in [tally] if tally.found]
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


def _delay(series: Series, tally: Tally) -> float:
    """Mean share of the windows of *series* that had passed when they were found."""
    limits = [(series.windows[window], row) for window, row in tally.found.items()]
    return fmean((row - first) / max(last - first, 1) for (first, last), row in limits)


def as_json(results: Results, profiles: Sequence[Profile]) -> dict[str, object]:
    return {
        "threshold": FIXED,
        "scores": [asdict(each) for each in scores(results, profiles)],
        "measures": [asdict(each) for each in measures(results)],
        "series": [
            _series(series, told[FIXED].alarms, told[FIXED].reasons, tally)
            for series, told, tally in zip(
                results.corpus, results.told, results.tallies[FIXED], strict=True
            )
        ],
    }


def _series(
    series: Series, alarms: Sequence[int], reasons: Sequence[str], tally: Tally
) -> dict[str, object]:
    told = [
        {"row": row, "at": series.times[row].isoformat(), "reason": reason}
        for row, reason in zip(alarms, reasons, strict=True)
    ]
    windows = [
        [series.times[first].isoformat(), series.times[last].isoformat()]
        for first, last in series.windows
    ]
    return {
        "name": series.name,
        "windows": windows,
        "found": sorted(tally.found),
        "false_alarms": list(tally.false),
        "alarms": told,
    }


def table(results: Results, profiles: Sequence[Profile]) -> Group:
    return Group(_score_table(scores(results, profiles)), _measure_table(measures(results)))


def _score_table(found: Sequence[Scores]) -> Table:
    shown = _table(
        "metric detectors: NAB score", "profile", "fixed", "cv by series", "cv by category"
    )
    shown.caption = f"0 is silence, 100 perfection; cv: threshold from the others; {PUBLISHED}"
    for each in found:
        numbers = (each.fixed, each.cross_validated_by_series, each.cross_validated_by_category)
        shown.add_row(each.profile, *(f"{number:.1f}" for number in numbers))
    return shown


def _measure_table(found: Sequence[Measures]) -> Table:
    shown = _table(
        f"what is told from a score of {FIXED} on",
        *(
            "series of",
            "files",
            "rows",
            "windows",
            "found",
            "recall",
            "delay",
            "false",
            "per 1,000",
        ),
    )
    shown.caption = "delay: mean share of a window that had passed when it was found"
    for each in found:
        shown.add_row(
            each.name,
            *(f"{n:,}" for n in (each.series, each.rows, each.windows, each.found)),
            f"{each.recall:.0%}",
            f"{each.delay:.0%}",
            str(each.false_alarms),
            f"{each.per_1000:.2f}",
            style="bold" if each.name == "all" else None,
        )
    return shown


def _table(title: str, first: str, *columns: str) -> Table:
    shown = Table(title=title, title_justify="left", caption_justify="left")
    shown.add_column(first)
    for column in columns:
        shown.add_column(column, justify="right")
    return shown
