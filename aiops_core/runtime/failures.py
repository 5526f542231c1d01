"""The end of a message that could not be handled: buried, or tried again after a while.

Failures are counted here, by message: the broker counts deliveries, and restarts, messages handed
back and late acknowledgements raise that number too. A new process counts anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from aiops_core.errors import AiopsError, Premature, Reject, Unavailable
from aiops_core.runtime.backoff import Backoff

FAILURES = 5  # of one message, after which it is buried
AFTER_FAILURE = Backoff(first=1.0, most=120.0, factor=5.0)
AFTER_ABSENCE = Backoff(first=1.0, most=30.0)  # of something that the message needs
KEPT = 16_384  # messages that are counted; fewer are out at any time


class Malformed(Reject):
    """The message cannot be read."""


class Deadly(AiopsError):
    """The process ended each time while it handled this message."""


@dataclass(frozen=True)
class Bury:
    outcome: str  # as ``aiops_messages_handled_total`` counts it
    reason: str


@dataclass(frozen=True)
class Retry:
    delay: float  # seconds


@dataclass
class Count:
    """Of one message: *failures* lead to its burial, *absences* only to longer delays."""

    failures: int = 0
    absences: int = 0


AT_ONCE: dict[type[Exception], str] = {
    Malformed: "malformed",
    Reject: "rejected",
    Deadly: "abandoned",
}


class Failures:
    """The counts of messages that will be delivered again. Beyond ``KEPT`` the oldest is forgotten:
    its message gets more tries, never fewer."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def verdict(self, message: str, exc: Exception) -> Bury | Retry:
        """What to do with the message of that id, which has just failed with *exc*."""
        for kind, outcome in AT_ONCE.items():
            if isinstance(exc, kind):
                return Bury(outcome, str(exc))
        count = self._counts.setdefault(message, Count())
        if len(self._counts) > KEPT:
            self._counts.popitem(last=False)
        if isinstance(exc, Unavailable):
            count.absences += 1
            return Retry(AFTER_ABSENCE.after(count.absences))
        count.failures += 1
        if count.failures >= FAILURES:
            return Bury("abandoned", repr(exc))
        return Retry(AFTER_FAILURE.after(count.failures))

    def forget(self, message: str) -> None:
        """It was acknowledged or buried."""
        self._counts.pop(message, None)


def changed_nothing(exc: Exception) -> bool:
    """Whether a handler that raised *exc* has left its state as it was, by contract."""
    return isinstance(exc, Reject | Unavailable | Premature | Deadly)
