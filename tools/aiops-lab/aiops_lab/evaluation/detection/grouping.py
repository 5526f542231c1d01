"""The two usual measures of lines that are grouped into templates. Pure.

*GA*, grouping accuracy (Zhu et al., "Tools and Benchmarks for Automated Log Parsing", ICSE-SEIP
2019): the share of lines in groups that hold exactly the lines of one true template.
*FGA*, F1 of group accuracy (Jiang et al., "A Large-Scale Evaluation for Log Parsing Techniques",
ISSTA 2024, after Khan et al., ICSE 2022): the harmonic mean of the share of found groups that are
exactly right and the share of true templates that are found; rare templates count as much as
frequent ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


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
