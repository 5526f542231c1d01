"""Whether entries that are older than those before came late, or a clock was set back."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 20.0  # seconds over which late entries follow each other in order until a clock was surely set back


@dataclass(slots=True)
class Late:
    """Entries that came late one after the other, in seconds since 1970; 0 means none.

    A late entry comes alone or out of order, between others. After a step of its clock a sender goes
    on in order, with nothing newer in between.
    """

    first: float = 0.0
    last: float = 0.0

    def proves(self, at: float) -> bool:
        """Take a late entry; whether it shows that the clock was set back."""
        if not self.first or at < self.last:
            self.first = at
        self.last = at
        if at - self.first < SURE:
            return False
        self.over()
        return True

    def over(self) -> None:
        """An entry that is not late ends the run."""
        self.first = self.last = 0.0
