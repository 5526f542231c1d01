"""How far a number lies beyond its history: the measure behind all views.

The extremes of a number are a slow centre and, on either side, the largest distance from it. A
number is new when its distance is larger by a ratio. The required ratio follows from the series
itself, so that no limit, unit or distribution has to be known:

* It falls with the number of samples: of *n* samples one is an extreme by chance with probability
  1/n, and one by a further factor r with about ``r ** (-1 / TAIL)``: ``(FULL / n) ** TAIL``.
* It rises with the growth of the extremes: a bounded number reaches the same in every block of
  samples, a noisy one exceeds the usual maximum of a block by far in some block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

FULL = 2000.0  # samples of a long enough history; also the memory of a centre
TAIL = 0.15  # exponent of a heavy, but not extreme, tail
GROWTH = 0.1  # of the excess of the extreme over the usual maximum of a block
MOST = 1.0  # upper limit of that excess: one outlier must not make a series insensitive
FADE = 30_000.0  # samples in which an extreme fades to 1/e: it may be new again much later
REPORTED = 2000.0  # samples in which a reported deviation fades likewise: then it may be repeated
BLOCK = 5  # samples; they count after the next block, so that a slow rise is not learned
BLOCKS = 40  # blocks in the mean of their maxima
EARLY = 100  # first samples, which count at once
SETTLING = 20  # first samples, of which the centre is the plain mean
CLIP = 4.0  # mean deviations by which one sample may move the centre
QUIET = 2.0  # mean deviations that are never new
ALIKE = 0.02  # of the range: the smallest deviation


@dataclass(slots=True)
class Side:
    """The distances of a number from its centre on one side."""

    farthest: float = 0.0
    reported: float = 0.0
    young: float = 0.0  # of the running block
    ripe: float = 0.0  # of the block before
    usual: float = 0.0  # mean of the maxima of blocks

    def known(self, reported: bool) -> float:
        """The distance beyond which a number is new; with *reported* beyond that as well."""
        farthest = max(self.farthest, self.reported) if reported else self.farthest
        if self.usual <= 0.0:
            return farthest
        return farthest * (1.0 + GROWTH * min(max(self.farthest / self.usual - 1.0, 0.0), MOST))

    def reach(self, away: float, *, early: bool) -> None:
        self.farthest *= 1.0 - 1.0 / FADE
        self.young = max(self.young, away)
        if early and away > self.farthest:
            self.farthest = away

    def close(self, rate: float) -> None:
        """End a block."""
        self.usual += rate * (self.young - self.usual)
        self.farthest = max(self.farthest, self.ripe)
        self.ripe, self.young = self.young, 0.0


@dataclass(slots=True)
class Extremes:
    """The history of one number."""

    n: int = 0
    centre: float = 0.0
    deviation: float = 0.0
    waiting: int = 0  # samples in the running block
    blocks: int = 0  # that have ended
    above: Side = field(default_factory=Side)
    below: Side = field(default_factory=Side)

    def copy(self) -> Extremes:
        return replace(self, above=replace(self.above), below=replace(self.below))

    def ratio(self, x: float, *, reported: bool = False) -> float:
        """The distance of *x* over the required one: above 1 it is new.

        With *reported* a reported deviation counts as known, although it is not learned.
        """
        away = x - self.centre
        side = self.above if away >= 0 else self.below
        known = max(side.known(reported), QUIET * self._spread())
        if known <= 0.0:
            return FULL if away else 0.0
        if self.n < FULL:
            known *= (FULL / max(self.n, 1)) ** TAIL
        return min(abs(away) / known, FULL)

    def learn(self, x: float) -> None:
        """Add *x* as a normal value."""
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
        """Let reported deviations fade by so many samples."""
        if self.above.reported or self.below.reported:
            left = 1.0 - 1.0 / REPORTED if samples == 1.0 else math.exp(-samples / REPORTED)
            self.above.reported *= left
            self.below.reported *= left

    def report(self, x: float) -> None:
        """Remember that *x* was reported, without learning it."""
        away = x - self.centre
        side = self.above if away >= 0 else self.below
        side.reported = max(side.reported, abs(away))

    def range(self) -> tuple[float, float]:
        """The lowest and the highest known value."""
        return self.centre - self.below.farthest, self.centre + self.above.farthest

    def _spread(self) -> float:
        return max(self.deviation, ALIKE * (self.above.farthest + self.below.farthest))

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
