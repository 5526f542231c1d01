"""The time of sentences: most state the time of day or none, only some the date."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from aiops_cli.ingest import times

HALF_A_DAY = timedelta(hours=12)


class Clock:
    """The newest time that the sentences so far told; begins at *now*, None when that is not known."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now

    def hear(self, day: date | None, clock: time | None) -> datetime | None:
        """Take over what one sentence tells; returns when it was."""
        told = _told(day, clock) or self._today(clock)
        if told:
            self.now = told
        return self.now

    def set(self, at: datetime) -> datetime:
        self.now = at
        return at

    def _today(self, clock: time | None) -> datetime | None:
        """*clock* on the day that is nearest to now: around midnight that is another one."""
        if clock is None or self.now is None:
            return None
        near = datetime.combine(self.now.date(), clock, UTC)
        if near < self.now - HALF_A_DAY:
            return near + timedelta(days=1)
        return near - timedelta(days=1) if near > self.now + HALF_A_DAY else near


def _told(day: date | None, clock: time | None) -> datetime | None:
    return times.in_range(datetime.combine(day, clock, UTC)) if day and clock else None
