"""From an event to what the platform receives: a message or a line of syslog. Truth stays here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiops_core.models import Level, LogEntry, MetricSample, derived_id
from aiops_lab.simulator.scenario import Event
from aiops_lab.simulator.traffic import LogLine, Reading

SOURCE = "simulator"
_SYSLOG_SEVERITY = {
    Level.CRITICAL: 2,
    Level.ERROR: 3,
    Level.WARNING: 4,
    Level.INFO: 6,
    Level.DEBUG: 7,
}
_DAEMON = 3
_FACILITIES = {
    "kernel": 0,
    "postfix/smtp": 2,
    "postfix/smtpd": 2,
    "sshd": 4,
    "sudo": 4,
    "pam_faillock": 4,
    "CRON": 9,
}


@dataclass(frozen=True, slots=True)
class Run:
    """One performance of a scenario: when offset 0 was, on which ship, and its own name.

    The id makes tracking ids: the same run gives the same ids, another run others.
    """

    t0: datetime
    ship_id: str = "ship-01"
    id: str = "run"

    def at(self, event: Event) -> datetime:
        return self.t0 + timedelta(seconds=event.offset)

    def tracking_id(self, event: Event) -> str:
        return derived_id(SOURCE, self.id, str(event.sequence))

    def message(self, event: Event, ingest: datetime | None = None) -> LogEntry | MetricSample:
        """The message of the event; *ingest*: when it reached the platform, by default ``ts``."""
        if isinstance(event.body, LogLine):
            return to_log_entry(event, self, ingest)
        return to_metric_sample(event, self, ingest)


def to_log_entry(event: Event, run: Run, ingest: datetime | None = None) -> LogEntry:
    assert isinstance(event.body, LogLine)
    at = run.at(event)
    return LogEntry(
        tracking_id=run.tracking_id(event),
        ship_id=run.ship_id,
        ts=at,
        stages={"ingest": ingest or at},
        host=event.device.id,
        device_id=event.device.id,
        service=event.body.service,
        level=event.body.level,
        msg=event.body.text,
        source=SOURCE,
    )


def to_metric_sample(event: Event, run: Run, ingest: datetime | None = None) -> MetricSample:
    assert isinstance(event.body, Reading)
    at = run.at(event)
    return MetricSample(
        tracking_id=run.tracking_id(event),
        ship_id=run.ship_id,
        ts=at,
        stages={"ingest": ingest or at},
        host=event.device.id,
        device_id=event.device.id,
        service=event.device.type,
        metric=event.body.metric,
        value=event.body.value,
        unit=event.body.unit,
    )


def to_syslog(event: Event, run: Run, rfc: int = 5424) -> str:
    """The line as a device would send it, RFC 5424 or 3164, without a line end."""
    assert isinstance(event.body, LogLine)
    line, at = event.body, run.at(event).astimezone(UTC)
    priority = _FACILITIES.get(line.service, _DAEMON) * 8 + _SYSLOG_SEVERITY[line.level]
    if rfc == 5424:
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        pid = line.pid or "-"
        return f"<{priority}>1 {stamp} {event.device.id} {line.service} {pid} - - {line.text}"
    tag = f"{line.service}[{line.pid}]" if line.pid else line.service
    return f"<{priority}>{at:%b} {at.day:2d} {at:%H:%M:%S} {event.device.id} {tag}: {line.text}"
