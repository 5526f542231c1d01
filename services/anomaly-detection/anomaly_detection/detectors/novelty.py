"""How far a number lies beyond everything that was seen of it: the one measure behind all views.

A record keeps a slow centre with the mean deviation around it, and on either side the farthest that
the number has been from the centre. A number is new when it is farther, by a ratio that must be the
larger, the less has been seen: of *n* samples one is a record by chance with probability 1/n, and a
record by a further factor r with about ``r ** (-1 / TAIL)``. So ``(FULL / n) ** TAIL`` more is asked
for while n is below FULL, and any series is judged at the same rate of false alarms, whatever its
distribution. It is told that nobody has chosen a number of sigmas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FULL = (
    2000.0  # samples after which as much has been seen as is asked for; also the memory of a centre
)
TAIL = 0.15  # exponent of a heavy, but not extreme, tail
FADE = 30_000.0  # samples in which a record fades to 1/e: what was normal long ago may be new again
TOLD = 2000.0  # samples in which a deviation that was told fades likewise: then it is told again
BLOCK = (
    25  # samples that wait before they are part of the record, so that a slow rise is not learnt
)
SETTLING = 20  # first samples, of which the centre is the plain mean
CLIP = 4.0  # mean deviations: one sample moves the centre by no more than these
QUIET = 2.0  # mean deviations that are never new
ALIKE = 0.02  # of the range: the least that counts as a deviation


@dataclass(slots=True)
class Record:
    """What was seen of one number. Of pairs the first is above the centre, the second below."""

    n: int = 0
    centre: float = 0.0
    deviation: float = 0.0
    above: float = 0.0
    below: float = 0.0
    told_above: float = 0.0
    told_below: float = 0.0
    young_above: float = 0.0  # of the running block
    young_below: float = 0.0
    ripe_above: float = 0.0  # of the block before
    ripe_below: float = 0.0
    waiting: int = 0  # samples in the running block

    def ratio(self, x: float) -> float:
        """How many times farther than ever *x* is, after the allowance for a short history: above 1
        it is new."""
        away = x - self.centre
        known = max(self.above, self.told_above) if away >= 0 else max(self.below, self.told_below)
        spread = max(self.deviation, ALIKE * (self.above + self.below))
        known = max(known, QUIET * spread)
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
        if self.n <= SETTLING:
            self.centre += rate * away
            self.deviation += rate * (abs(away) - self.deviation)
        else:
            most = CLIP * max(self.deviation, ALIKE * (self.above + self.below))
            self.centre += rate * max(-most, min(most, away))
            self.deviation += rate * (min(abs(away), most) - self.deviation)
        self._reach(away)

    def _reach(self, away: float) -> None:
        self.above *= 1.0 - 1.0 / FADE
        self.below *= 1.0 - 1.0 / FADE
        if away > self.young_above:
            self.young_above = away
        elif -away > self.young_below:
            self.young_below = -away
        self.waiting += 1
        if self.waiting >= BLOCK or self.n < 100:
            self._ripen()

    def _ripen(self) -> None:
        self.above, self.below = (
            max(self.above, self.ripe_above),
            max(self.below, self.ripe_below),
        )
        self.ripe_above, self.ripe_below = self.young_above, self.young_below
        self.young_above = self.young_below = 0.0
        self.waiting = 0

    def fade(self, samples: float = 1.0) -> None:
        """That many samples more since what was told."""
        if self.told_above or self.told_below:
            left = 1.0 - 1.0 / TOLD if samples == 1.0 else math.exp(-samples / TOLD)
            self.told_above *= left
            self.told_below *= left

    def tell(self, x: float) -> None:
        """*x* was told: as much is not told again soon. It is not learnt."""
        away = x - self.centre
        if away >= 0:
            self.told_above = max(self.told_above, away)
        else:
            self.told_below = max(self.told_below, -away)

    def range(self) -> tuple[float, float]:
        """From where to where it was seen."""
        return self.centre - self.below, self.centre + self.above
