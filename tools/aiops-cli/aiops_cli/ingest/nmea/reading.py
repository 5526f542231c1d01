"""What a sentence measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiops_cli.ingest.parsed import Reading

KNOTS = {"N": 1.0, "K": 1 / 1.852, "M": 3600 / 1852, "S": 1.150779**-1}  # from N, km/h, m/s, mph


@dataclass(frozen=True, slots=True)
class Position:
    """Degrees, north and east positive."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a sentence says, before it is decided which of it is sent."""

    readings: tuple[Reading, ...] = ()
    position: Position | None = None


NOTHING = Measured()


@dataclass
class Collected:
    """Readings of one instrument; values that the sentence does not have are left out."""

    service: str
    found: list[Reading] = field(default_factory=list)

    def add(self, metric: str, value: float | None, unit: str | None = None) -> None:
        if value is not None:
            self.found.append(Reading(self.service, metric, value, unit))

    def add_position(self, position: Position | None) -> None:
        if position:
            self.add("latitude_deg", position.latitude, "deg")
            self.add("longitude_deg", position.longitude, "deg")

    def measured(self, position: Position | None = None) -> Measured:
        self.add_position(position)
        return Measured(tuple(self.found), position)


def only_finite(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """A digit lost on the line can make a number infinite; no message may carry that."""
    return tuple(r for r in readings if abs(r.value) < float("inf"))
