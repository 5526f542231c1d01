"""What a sentence of a ship's instrument says, before its ship and its host are known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
