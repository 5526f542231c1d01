"""A circuit breaker: what fails again and again is left alone for a while. Pure.

Closed: everybody may try. After *failures* in a row it opens: nobody may, for *open_for* seconds.
Then it is half open: one may try, and what becomes of that closes or opens it. Times are seconds of
whatever clock the caller has.
"""

from __future__ import annotations

from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]


class Breaker:
    def __init__(self, failures: int, open_for: float) -> None:
        self._most, self._open_for = failures, open_for
        self._failures = 0
        self._until: float | None = None
        self._trying = False

    def state(self, now: float) -> BreakerState:
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half-open"

    def wait(self, now: float) -> float:
        """Seconds until it may be worth to ask again."""
        return max((self._until or now) - now, 0.0)

    def admits(self, now: float) -> bool:
        """Whether one more may try; it then says how that went, or that it gave up."""
        state = self.state(now)
        if state == "closed":
            return True
        if state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        self._failures, self._until, self._trying = 0, None, False

    def failed(self, now: float) -> None:
        self._failures += 1
        self._trying = False
        if self._failures >= self._most:
            self._until = now + self._open_for

    def gave_up(self) -> None:
        """A try ended without a result, as nobody needs it any more."""
        self._trying = False
