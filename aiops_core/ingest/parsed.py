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
