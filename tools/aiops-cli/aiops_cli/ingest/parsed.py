"""What a line says of itself, before anybody knows whose line it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.models import Level


class Unreadable(ValueError):
    """This line is not what its file promises; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """None means: the line does not say."""

    msg: str
    level: Level
    ts: datetime | None = None
    host: str | None = None
    device_id: str | None = None
    service: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one instrument; *service* is the kind of instrument."""

    service: str
    metric: str
    value: float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """What one line measured, perhaps nothing; *device* is the instrument that took it."""

    device: str
    ts: datetime | None = None
    readings: tuple[Reading, ...] = ()
