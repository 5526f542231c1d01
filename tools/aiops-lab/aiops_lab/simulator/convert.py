"""From an event to the message that the platform receives, without its truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.models import LogEntry, MetricSample, derived_id
from aiops_lab.simulator.scenario import Event
from aiops_lab.simulator.traffic import SimulatedLine, SimulatedReading

SOURCE = "simulator"


@dataclass(frozen=True, slots=True)
class Voyage:
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
        if isinstance(event.body, SimulatedLine):
            return to_log_entry(event, self, ingest)
        return to_metric_sample(event, self, ingest)


def to_log_entry(event: Event, run: Voyage, ingest: datetime | None = None) -> LogEntry:
    assert isinstance(event.body, SimulatedLine)
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


def to_metric_sample(event: Event, run: Voyage, ingest: datetime | None = None) -> MetricSample:
    assert isinstance(event.body, SimulatedReading)
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
