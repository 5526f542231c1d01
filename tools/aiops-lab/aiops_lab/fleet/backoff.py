"""What to do when a process of the fleet ends: pure decisions, no clock and no processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass

FIRST_DELAY = 0.5  # seconds before the first restart; doubles with every death in a row
LONGEST_DELAY = 30.0  # seconds
STEADY = 60.0  # seconds of life after which a death counts as the first one again
MISCONFIGURED = 2  # exit code of a process that cannot start with what it was given


@dataclass(frozen=True)
class Death:
    """How one life of a process ended. *code* is negative for a signal, as in ``subprocess``."""

    code: int
    lived: float  # seconds
    first_life: bool
    was_ready: bool

    @property
    def how(self) -> str:
        """The exit in words: ``exit code 1`` or ``killed by SIGKILL``."""
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"killed by signal {-self.code}"


def hopeless(death: Death) -> bool:
    """Whether to give up: nothing but a person can repair a wrong configuration at the start.

    Later the same exit code may pass by itself (a port that is not yet free), so it is tried again.
    """
    return death.code == MISCONFIGURED and death.first_life and not death.was_ready


def next_delay(previous: float, lived: float) -> float:
    """Seconds to wait before the next start, after *previous* seconds (0: none) before this life."""
    if previous <= 0 or lived >= STEADY:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)
