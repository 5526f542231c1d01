"""How far a number lies beyond everything that was seen of it: the one measure behind all views.

A record keeps a slow centre and, on either side, the farthest that the number has been from it. A
number is new when it is farther by a ratio, and the ratio that is asked for follows from the series
itself, so that no limit, unit or distribution has to be known:

* The less has been seen, the more: of *n* samples one is a record by chance with probability 1/n, and
  one by a further factor r with about ``r ** (-1 / TAIL)``; that makes ``(FULL / n) ** TAIL``.
* The more its records grow by themselves, the more: a number that is bounded reaches the same in every
  block of samples, a noisy one in some block goes far beyond the usual farthest of a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

FULL = (
    2000.0  # samples after which as much has been seen as is asked for; also the memory of a centre
)
TAIL = 0.15  # exponent of a heavy, but not extreme, tail
GROWTH = 0.1  # of the part by which the record is beyond the usual farthest of a block
MOST = 1.0  # of that part: one outlier must not make a series deaf
FADE = 30_000.0  # samples in which a record fades to 1/e: what was normal long ago may be new again
TOLD = 2000.0  # samples in which a deviation that was told fades likewise: then it is told again
BLOCK = 5  # samples; they are part of the record when the next block is over: a rise is not learnt
BLOCKS = 40  # of which the usual farthest is the mean
EARLY = 100  # first samples, which are part of the record at once
SETTLING = 20  # first samples, of which the centre is the plain mean
CLIP = 4.0  # mean deviations: one sample moves the centre by no more than these
QUIET = 2.0  # mean deviations that are never new
ALIKE = 0.02  # of the range: the least that counts as a deviation


@dataclass(slots=True)
class Side:
    """How far a number has been from its centre on one side."""

    record: float = 0.0
    told: float = 0.0
    young: float = 0.0  # of the running block
    ripe: float = 0.0  # of the block before
    usual: float = 0.0  # mean of the farthest of each block

    def known(self, told: bool) -> float:
        """From where on a deviation is new, if enough was seen; beyond what was *told* as well."""
        farthest = max(self.record, self.told) if told else self.record
        if self.usual <= 0.0:
            return farthest
        return farthest * (1.0 + GROWTH * min(max(self.record / self.usual - 1.0, 0.0), MOST))

    def reach(self, away: float, *, early: bool) -> None:
        self.record *= 1.0 - 1.0 / FADE
        self.young = max(self.young, away)
        if early and away > self.record:
            self.record = away

    def close(self, rate: float) -> None:
        """A block is over."""
        self.usual += rate * (self.young - self.usual)
        self.record = max(self.record, self.ripe)
        self.ripe, self.young = self.young, 0.0


@dataclass(slots=True)
class Record:
    """What was seen of one number."""

    n: int = 0
    centre: float = 0.0
    deviation: float = 0.0
    waiting: int = 0  # samples in the running block
    blocks: int = 0  # that are over
    above: Side = field(default_factory=Side)
    below: Side = field(default_factory=Side)

    def copy(self) -> Record:
        return replace(self, above=replace(self.above), below=replace(self.below))

    def ratio(self, x: float, *, told: bool = False) -> float:
        """How many times farther than is asked for *x* is: above 1 it is new.

        With *told* what was told counts as seen, although it is not learnt.
        """
        away = x - self.centre
        side = self.above if away >= 0 else self.below
        known = max(side.known(told), QUIET * self._spread())
        if known <= 0.0:
            return FULL if away else 0.0
        if self.n < FULL:
            known *= (FULL / max(self.n, 1)) ** TAIL
        return min(abs(away) / known, FULL)

    def learn(self, x: float) -> None:
        """Take *x* as normal."""
        self.n += 1
        if self.n == 1:
            self.centre = x
            return
        away = x - self.centre
        rate = max(1.0 / self.n, 1.0 / FULL)
        most = CLIP * self._spread() if self.n > SETTLING else abs(away)
        self.centre += rate * max(-most, min(most, away))
        self.deviation += rate * (min(abs(away), most) - self.deviation)
        self._reach(away)

    def fade(self, samples: float = 1.0) -> None:
        """That many samples more since something was told."""
        if self.above.told or self.below.told:
            left = 1.0 - 1.0 / TOLD if samples == 1.0 else math.exp(-samples / TOLD)
            self.above.told *= left
            self.below.told *= left

    def tell(self, x: float) -> None:
        """*x* was told: as much is not told again soon. It is not learnt."""
        away = x - self.centre
        side = self.above if away >= 0 else self.below
        side.told = max(side.told, abs(away))

    def range(self) -> tuple[float, float]:
        """From where to where it was seen."""
        return self.centre - self.below.record, self.centre + self.above.record

    def _spread(self) -> float:
        return max(self.deviation, ALIKE * (self.above.record + self.below.record))

    def _reach(self, away: float) -> None:
        early = self.n < EARLY
        self.above.reach(away, early=early)
        self.below.reach(-away, early=early)
        self.waiting += 1
        if self.waiting >= BLOCK:
            self.waiting = 0
            self.blocks = min(self.blocks + 1, BLOCKS)
            self.above.close(1.0 / self.blocks)
            self.below.close(1.0 / self.blocks)
