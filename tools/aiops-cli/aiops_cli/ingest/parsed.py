"""What a line says by itself, before it is known which ship, host and file it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.models import Level


class Unreadable(ValueError):
    """The line is not of the format of its file; the text is the reason, for a person."""


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """A log line. None: the line does not say."""

    msg: str
    level: Level
    ts: datetime | None = None
    host: str | None = None
    device_id: str | None = None
    service: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SensorReading:
    """One value of an instrument. *service* is the kind of instrument."""

    service: str
    metric: str
    value: float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class SensorReadings:
    """The values in one sentence of *instrument*, perhaps none."""

    instrument: str
    ts: datetime | None = None
    readings: tuple[SensorReading, ...] = ()
