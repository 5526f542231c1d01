"""AIS: position and speed of the own ship, and the number of other ships in sight.

A receiver that goes deaf shows in the number of ships; their positions do not matter here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

import pyais
from pyais.exceptions import AISBaseException

from aiops_cli.ingest.nmea.measured import GeoPosition, Measured
from aiops_core.normaliser.parsed import Unreadable

AIS = "ais"
SEEN_WITHIN = timedelta(minutes=10)  # a ship at anchor reports every 3 minutes, 6 when class B
SHIPS_KEPT = 5000
NO_LATITUDE, NO_LONGITUDE, NO_SPEED, NO_COURSE = 91, 181, 102.3, 360  # "not available"


class ShipsInSight:
    """The ships from which a message came within SEEN_WITHIN."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, datetime] = OrderedDict()

    def seen(self, mmsi: int, at: datetime) -> Measured:
        """Count the ship *mmsi*; return how many ships are in sight."""
        self._seen[mmsi] = at
        self._seen.move_to_end(mmsi)
        while len(self._seen) > SHIPS_KEPT or next(iter(self._seen.values())) < at - SEEN_WITHIN:
            self._seen.popitem(last=False)
        return Measured(AIS).add("ais_targets", len(self._seen), "ships")


def is_whole(text: str) -> bool:
    """Whether the message is in one sentence; positions always are."""
    return text.split(",", 2)[1:2] == ["1"]


def decode(text: str) -> Mapping[str, object]:
    """The fields of the message in *text*; raises Unreadable."""
    try:
        fields: Mapping[str, object] = pyais.decode(text).asdict()
    except (AISBaseException, ValueError, IndexError, KeyError) as exc:
        raise Unreadable(f"AIS message that cannot be decoded: {exc}") from exc
    return fields


def own_ship(fields: Mapping[str, object]) -> Measured:
    """Position, speed and course that the ship's own transponder (VDO) sends."""
    found = Measured(AIS)
    found.add("speed_over_ground_knots", _below(fields.get("speed"), NO_SPEED), "kn")
    found.add("course_over_ground_deg", _below(fields.get("course"), NO_COURSE), "deg")
    latitude = _below(fields.get("lat"), NO_LATITUDE)
    longitude = _below(fields.get("lon"), NO_LONGITUDE)
    if latitude is None or longitude is None:
        return found
    return found.at(GeoPosition(latitude, longitude))


def _below(value: object, unknown: float) -> float | None:
    return float(value) if isinstance(value, int | float) and value < unknown else None
