"""Pure: the times at which the problem of an incident came within it.

An incident that is reopened, or waits for a chronic problem to come back, holds several. Which
there are, when each began and how it ended is the same in whatever order the facts come. When it
ended, how bad and how wide it was is what the incident showed as its end was folded: a fact that a
kill lets come after that changes it no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from aiops_core.models import Record, UtcDatetime

KEPT = 32  # newest of one incident that later facts can change; aiops.problem_occurrences has all


class FoldedOccurrence(NamedTuple):
    """*ended* is None while it lasts, *ending* says how in a word or two, *note* in a sentence."""

    problem_id: str
    number: int
    began: datetime
    ended: datetime | None
    ending: str
    note: str
    severity: str
    devices: int


class Extent(NamedTuple):
    """How bad and how wide an incident is."""

    severity: str
    devices: int


class OccurrencePause(Record):
    """The occurrence of that time is over; with *at* None it goes on. Placed like a ``Turn``."""

    revision: int
    change: int = 0
    at: UtcDatetime | None
    ending: str = ""
    note: str = ""
    severity: str = ""
    devices: int = 0

    @property
    def place(self) -> tuple[int, int]:
        return self.revision, self.change


class OccurrenceStart(Record):
    """*revision* is that of the first fact that names it, *began* its first anomaly, *before* how
    the occurrence before it ended, should nobody have said so."""

    problem_id: str
    number: int
    revision: int
    began: UtcDatetime
    before: OccurrencePause

    @property
    def key(self) -> tuple[str, int]:
        return self.problem_id, self.number

    def joined(self, other: OccurrenceStart) -> OccurrenceStart:
        """Of two facts that name one occurrence."""
        first = min(self, other, key=lambda one: one.revision)
        return first.but(began=min(self.began, other.began))


class Occurrences(Record):
    """Starts and pauses in order of their places."""

    starts: tuple[OccurrenceStart, ...] = ()
    pauses: tuple[OccurrencePause, ...] = ()

    def started(self, start: OccurrenceStart) -> Occurrences:
        known = {one.key: one for one in self.starts}
        known[start.key] = known[start.key].joined(start) if start.key in known else start
        starts = sorted(known.values(), key=lambda one: one.revision)[-KEPT:]
        return self._kept(tuple(starts), self.pauses)

    def paused(self, pause: OccurrencePause) -> Occurrences:
        pauses = sorted((*self.pauses, pause), key=lambda one: one.place)
        return self._kept(self.starts, tuple(pauses))

    def _kept(
        self, starts: tuple[OccurrenceStart, ...], pauses: tuple[OccurrencePause, ...]
    ) -> Occurrences:
        """The newest starts, and the pauses that may be of them."""
        oldest = starts[0].revision if starts else 0
        kept = tuple(one for one in pauses if one.revision >= oldest)[-2 * KEPT :]
        return Occurrences(starts=starts, pauses=kept)

    def all(self, now: Extent) -> Iterator[FoldedOccurrence]:
        """Each occurrence, oldest first; *now* is what the incident shows."""
        for start, later in pairwise((*self.starts, None)):
            if start is not None:
                yield self._occurrence(start, later, now)

    def _occurrence(
        self, start: OccurrenceStart, later: OccurrenceStart | None, now: Extent
    ) -> FoldedOccurrence:
        pause = self._pause(start, later)
        if pause is None:
            return FoldedOccurrence(*start.key, start.began, None, "", "", *now)
        ended = max(pause.at or start.began, start.began)
        if later:  # a late fact of its end has met members of the next
            ended = min(ended, max(later.began, start.began))
        shown = pause.severity, pause.devices
        return FoldedOccurrence(*start.key, start.began, ended, pause.ending, pause.note, *shown)

    def _pause(
        self, start: OccurrenceStart, later: OccurrenceStart | None
    ) -> OccurrencePause | None:
        """What ended it first after it went on last; None while it goes on."""
        found: OccurrencePause | None = None
        for one in self.pauses:
            if start.revision <= one.revision and (later is None or one.revision < later.revision):
                found = (found or one) if one.at else None
        return found or (later.before if later else None)
