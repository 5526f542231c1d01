"""Bodies of ``/api/v3/ship``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aiops_core.models import ShipMode, UtcDatetime
from aiops_core.suppression.ship import (
    LinkOutage,
    MaintenanceWindow,
    ModeChange,
    OutageKind,
    Patterns,
    Ship,
)

State = Literal["planned", "running", "over", "withdrawn"]
Reason = Annotated[str, Field(min_length=3, max_length=500)]
Owner = Annotated[str, Field(min_length=1, max_length=100)]


class _ShipRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewMode(_ShipRequest):
    mode: ShipMode
    since: UtcDatetime | None = Field(default=None, description="When it began; default: now.")
    reason: Annotated[str, Field(max_length=500)] = ""


class NewMaintenance(_ShipRequest):
    """Devices and services are globs in any case (`ap-d05-*`); one of them must be given."""

    devices: Annotated[Patterns, Field(max_length=50, examples=[["sw-acc-d05", "ap-d05-*"]])] = ()
    services: Annotated[Patterns, Field(max_length=50)] = ()
    dependants: bool = Field(
        default=False, description="Also everything that needs one of the devices."
    )
    start: UtcDatetime | None = Field(default=None, description="Default: now.")
    end: UtcDatetime
    owner: Owner | None = Field(default=None, description="Who answers for it; default: who asks.")
    reason: Reason


class NewOutage(_ShipRequest):
    """A known outage of the link that *device* carries."""

    device: Annotated[str, Field(min_length=1, max_length=255, examples=["sat-modem-01"])]
    kind: OutageKind
    start: UtcDatetime | None = Field(default=None, description="Default: now.")
    end: UtcDatetime
    reason: Reason
    source: Owner | None = Field(default=None, description="Who told of it; default: who asks.")


class ModeView(BaseModel):
    """*mode* is null until somebody declares one. *history* is newest first."""

    mode: ShipMode | None
    since: UtcDatetime | None = None
    by: str = ""
    reason: str = ""
    history: list[ModeChange] = []

    @classmethod
    def of(cls, ship: Ship, now: datetime) -> Self:
        current = ship.mode.at(now)
        said = current.model_dump() if current else {"mode": None}
        return cls(**said, history=list(reversed(ship.mode.changes)))


class MaintenanceView(BaseModel):
    """*covers* are the known devices that the window is about."""

    window: MaintenanceWindow
    state: State
    covers: list[str]


class OutageView(BaseModel):
    """*dependants* are the known devices that need the link."""

    outage: LinkOutage
    state: State
    dependants: list[str]


class MaintenanceList(BaseModel):
    items: list[MaintenanceView]


class OutageList(BaseModel):
    items: list[OutageView]


class ShipView(BaseModel):
    mode: ModeView
    maintenance: list[MaintenanceView]
    outages: list[OutageView]
