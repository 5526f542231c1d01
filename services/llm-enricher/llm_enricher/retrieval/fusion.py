"""Several rankings as one, by reciprocal rank fusion. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def fused(rankings: Sequence[Sequence[str]], constant: int) -> dict[str, float]:
    """The sum of ``1 / (constant + rank)`` of each id over all *rankings*, best first.

    Scores of different kinds cannot be added, places can.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, id in enumerate(ranking, start=1):
            sums[id] += 1 / (constant + rank)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
