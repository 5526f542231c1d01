"""AIS: how the own ship describes itself, and how many others are heard.

A receiver that goes deaf is seen in the number of ships in sight; their positions are not the
business of this platform.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

import pyais
from pyais.exceptions import AISBaseException

from aiops_cli.ingest.nmea.reading import Collected, Measured, Position
from aiops_cli.ingest.parsed import Unreadable

AIS = "ais"
SEEN_WITHIN = timedelta(minutes=10)  # a ship at anchor reports every 3 minutes, 6 when class B
SHIPS_KEPT = 5000
NO_LATITUDE, NO_LONGITUDE, NO_SPEED, NO_COURSE = 91, 181, 102.3, 360  # "not available"


class Traffic:
    """The ships that were heard of late."""

    def __init__(self) -> None:
        self._heard: OrderedDict[int, datetime] = OrderedDict()

    def hear(self, mmsi: int, at: datetime) -> Measured:
        self._heard[mmsi] = at
        self._heard.move_to_end(mmsi)
        self._forget(at)
        ais = Collected(AIS)
        ais.add("ais_targets", len(self._heard), "ships")
        return ais.measured()

    def _forget(self, at: datetime) -> None:
        while len(self._heard) > SHIPS_KEPT or self._oldest() < at - SEEN_WITHIN:
            self._heard.popitem(last=False)

    def _oldest(self) -> datetime:
        return next(iter(self._heard.values()))


def whole(text: str) -> bool:
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
    ais = Collected(AIS)
    ais.add("speed_over_ground_knots", _below(fields.get("speed"), NO_SPEED), "kn")
    ais.add("course_over_ground_deg", _below(fields.get("course"), NO_COURSE), "deg")
    latitude = _below(fields.get("lat"), NO_LATITUDE)
    longitude = _below(fields.get("lon"), NO_LONGITUDE)
    if latitude is None or longitude is None:
        return ais.measured()
    return ais.measured(Position(latitude, longitude))


def _below(value: object, unknown: float) -> float | None:
    known = isinstance(value, int | float) and value < unknown
    return float(value) if known and isinstance(value, int | float) else None
