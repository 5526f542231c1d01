"""What the broker does not do, in ``/ready`` and, once a minute, in the log."""

from __future__ import annotations

import time

from nats.js.errors import APIError

from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import LOG_EVERY
from aiops_core.utils import core_logger

log = core_logger("nats")

DEPENDENCY = "nats"
CONNECTION, NOT_YET = "connection", "not reached yet"  # while it is open, no other problem is shown
MOST_REASONS = 100  # logged in a minute; a reason may quote a stranger

FORBIDDEN = "permissions violation"  # how such an error of the broker begins
FORBIDDEN_FOR = 10.0  # seconds for which it explains a missing answer


def first_line(exc: BaseException) -> str:
    if isinstance(exc, APIError) and exc.description:
        return exc.description
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


class BrokerProblems:
    """The open problems by operation, in ``/ready`` and in the log."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._open = {CONNECTION: NOT_YET}
        self._logged: dict[str, float] = {}
        self._forbidden, self._forbidden_at = "", 0.0  # the newest permissions violation
        readiness.needs(DEPENDENCY, required=True)

    def add(self, operation: str, problem: str) -> None:
        self._open[operation] = problem
        self._show()
        self.log("nats does not work", problem)

    def clear(self, operation: str) -> None:
        problem = self._open.pop(operation, None)
        if problem:
            self._show()
        if problem and problem != NOT_YET:
            self.log("nats works again", problem, "info")

    def log(self, event: str, problem: str, level: str = "warning") -> None:
        """Log it, unless that was done within the last minute."""
        now, text = time.monotonic(), f"{event}: {problem}"
        self._logged = {said: at for said, at in self._logged.items() if now - at < LOG_EVERY}
        if text not in self._logged and len(self._logged) < MOST_REASONS:
            self._logged[text] = now
            getattr(log, level)(event, reason=problem)

    def complained(self, reason: str) -> None:
        """The broker has sent an error."""
        if FORBIDDEN in reason.lower():
            self._forbidden, self._forbidden_at = reason, time.monotonic()
        self.log("nats complains", reason)

    def reason(self, exc: Exception) -> str:
        """A forbidden request gets no answer; the broker has complained of it before."""
        recently = time.monotonic() - self._forbidden_at < FORBIDDEN_FOR
        return self._forbidden if recently and isinstance(exc, TimeoutError) else first_line(exc)

    def _show(self) -> None:
        problem = self._open.get(CONNECTION) or "; ".join(self._open.values())
        if problem:
            self._readiness.down(DEPENDENCY, problem)
        else:
            self._readiness.up(DEPENDENCY)
