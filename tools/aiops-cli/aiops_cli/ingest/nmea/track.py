"""The speed that two positions of one instrument imply: a position that jumps implies an absurd one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import asin, cos, radians, sin, sqrt

from aiops_cli.ingest.nmea.reading import Position

EARTH_NM = 3440.065  # mean radius, nautical miles
SHORTEST = timedelta(seconds=1)  # in less, the noise of a fix (metres) looks like speed
LONGEST = timedelta(minutes=10)  # after it, a jump hides in the distance that may have been sailed


def distance_nm(a: Position, b: Position) -> float:
    """Along the great circle, nautical miles (haversine formula)."""
    north, south = radians(a.latitude), radians(b.latitude)
    across = sin(radians(b.longitude - a.longitude) / 2) ** 2
    half = sin((south - north) / 2) ** 2 + cos(north) * cos(south) * across
    return 2 * EARTH_NM * asin(min(1.0, sqrt(half)))


@dataclass(slots=True)
class Track:
    """The last position of one instrument."""

    at: datetime | None = None
    position: Position | None = None

    def speed(self, position: Position, at: datetime) -> float | None:
        """Knots since the last position; None when there is none to compare with."""
        before, last = self.at, self.position
        if before and timedelta(0) <= at - before < SHORTEST:
            return None
        self.at, self.position = at, position
        if before is None or last is None or not SHORTEST <= at - before <= LONGEST:
            return None
        return distance_nm(last, position) / ((at - before).total_seconds() / 3600)
