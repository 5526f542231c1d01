"""The shares of templates in the lines of a device, now and usually. Pure numbers.

The count vector of a window is compared with the exponentially weighted mean of past windows. Their
distance is the total variation: the share of lines that would have to change to make it usual.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from anomaly_detection.detectors.lines import Attention

KINDS = 24  # templates whose usual share is kept; all others count as unusual
OPEN = 1000  # templates counted separately in a window; the others are counted together
OTHERS = ""
MEMORY = 24  # windows that count in the usual shares


@dataclass(slots=True)
class Shares:
    """The open window of a device, and its usual shares.

    *check* is the number of lines at which the window is judged next, *highest* the recent maximum
    of the distance.
    """

    attention: Attention = field(default_factory=Attention)
    opened: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    check: int = 0
    usual: dict[str, float] = field(default_factory=dict)
    windows: int = 0
    highest: float = 0.0
    since: datetime | None = None

    def due(self, at: float, seconds: float) -> bool:
        """Whether the window may close: by time, or because the clock was set back."""
        return self.opened is None or not -seconds < at - self.opened < seconds

    def open(self, at: float, least: int) -> None:
        self.opened, self.counts, self.lines, self.check = at, {}, 0, least

    def copy(self) -> Shares:
        """A copy that may be changed; *usual* is never changed in place."""
        return replace(self, attention=self.attention.copy(), counts=self.counts.copy())

    def add(self, id_: str) -> None:
        counts = self.counts
        if id_ not in counts and len(counts) >= OPEN:
            id_ = OTHERS
        counts[id_] = counts.get(id_, 0) + 1
        self.lines += 1

    def share(self, id_: str) -> float:
        return self.counts.get(id_, self.counts.get(OTHERS, 0)) / self.lines

    def distance(self) -> float:
        """The total variation between the window and the usual shares, 0..1."""
        more = (n / self.lines - self.usual.get(id_, 0.0) for id_, n in self.counts.items())
        return sum(share for share in more if share > 0)

    def excess(self, id_: str) -> float:
        return self.share(id_) - self.usual.get(id_, 0.0)

    def learn(self) -> None:
        """Move the usual shares towards this window."""
        weight = 1 / (min(self.windows, MEMORY) + 1)
        self.windows += 1
        mean = {id_: (1 - weight) * share for id_, share in self.usual.items()}
        for id_, n in self.counts.items():
            mean[id_] = mean.get(id_, 0.0) + weight * n / self.lines
        kept = sorted(mean, key=lambda id_: (-mean[id_], id_))[:KINDS]
        self.usual = {id_: mean[id_] for id_ in kept}
