"""Tells late entries from a clock that was set back."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 20.0  # seconds of late entries in order that prove a clock was set back


@dataclass(slots=True)
class Late:
    """A run of late entries, in seconds since 1970; 0 means none.

    Late entries come alone or out of order, between others. After a step of its clock a sender goes
    on in order, with nothing newer in between.
    """

    first: float = 0.0
    last: float = 0.0

    def proves(self, at: float) -> bool:
        """Add a late entry; True if the run proves that the clock was set back."""
        if not self.first or at < self.last:
            self.first = at
        self.last = at
        if at - self.first < SURE:
            return False
        self.over()
        return True

    def over(self) -> None:
        """End the run: an entry that is not late has come."""
        self.first = self.last = 0.0
