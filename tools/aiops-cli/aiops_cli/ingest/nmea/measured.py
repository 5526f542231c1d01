"""The measurements of one sentence, and the speed that two positions imply."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Self

from aiops_cli.ingest.parsed import SensorReading

EARTH_NM = 3440.065  # mean radius, nautical miles
SHORTEST = timedelta(seconds=1)  # in less, the noise of a fix (metres) looks like speed
LONGEST = timedelta(minutes=10)  # after it, a jump hides in the distance that may have been sailed


@dataclass(frozen=True, slots=True)
class GeoPosition:
    """Degrees, north and east positive."""

    latitude: float
    longitude: float


@dataclass(slots=True)
class Measured:
    """Readings of one instrument of the kind *service*."""

    service: str
    readings: list[SensorReading] = field(default_factory=list)
    position: GeoPosition | None = None

    def add(self, metric: str, value: float | None, unit: str | None = None) -> Self:
        """Add a reading, unless *value* is missing or infinite (a digit lost on the line)."""
        if value is not None and isfinite(value):
            self.readings.append(SensorReading(self.service, metric, value, unit))
        return self

    def at(self, position: GeoPosition | None) -> Self:
        """Add the position, which a track also needs as a whole."""
        if position:
            self.add("latitude_deg", position.latitude, "deg")
            self.add("longitude_deg", position.longitude, "deg")
            self.position = position
        return self


@dataclass(slots=True)
class Track:
    """The last position of one instrument. A position that jumps implies an absurd speed."""

    time: datetime | None = None
    position: GeoPosition | None = None

    def speed(self, position: GeoPosition, at: datetime) -> float | None:
        """Knots since the last position; None when there is none to compare with."""
        before, last = self.time, self.position
        if before and timedelta(0) <= at - before < SHORTEST:
            return None
        self.time, self.position = at, position
        if before is None or last is None or not SHORTEST <= at - before <= LONGEST:
            return None
        return distance_nm(last, position) / ((at - before).total_seconds() / 3600)


def distance_nm(start: GeoPosition, end: GeoPosition) -> float:
    """Along the great circle, nautical miles (haversine formula)."""
    north, south = radians(start.latitude), radians(end.latitude)
    across = sin(radians(end.longitude - start.longitude) / 2) ** 2
    half = sin((south - north) / 2) ** 2 + cos(north) * cos(south) * across
    return 2 * EARTH_NM * asin(min(1.0, sqrt(half)))
