"""Bodies of ``/api/v3/ship``, and checks that raise the request's Problem. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import ShipMode, UtcDatetime
from aiops_core.suppression.ship import (
    LinkOutage,
    MaintenanceWindow,
    ModeChange,
    OutageKind,
    Patterns,
    Ship,
    Spell,
)
from incident_api.policy import DeclarationLimits
from incident_api.problems import Problem, RequestBody

State = Literal["planned", "running", "over", "withdrawn"]
Owner = Annotated[str, Field(min_length=1, max_length=100)]


class NewMode(RequestBody):
    mode: ShipMode
    since: UtcDatetime | None = Field(default=None, description="When it began; default: now.")
    reason: Annotated[str, Field(max_length=500)] = ""


class NewDeclaration(RequestBody):
    start: UtcDatetime | None = Field(default=None, description="Default: now.")
    end: UtcDatetime
    reason: Annotated[str, Field(min_length=3, max_length=500)]


class NewMaintenance(NewDeclaration):
    """Devices and services are globs in any case (`ap-d05-*`); one of them must be given."""

    devices: Annotated[Patterns, Field(max_length=50, examples=[["sw-acc-d05", "ap-d05-*"]])] = ()
    services: Annotated[Patterns, Field(max_length=50)] = ()
    dependants: bool = Field(
        default=False, description="Also everything that needs one of the devices."
    )
    owner: Owner | None = Field(default=None, description="Who answers for it; default: who asks.")


class NewOutage(NewDeclaration):
    """A known outage of the link that *device_id* carries."""

    device_id: Annotated[str, Field(min_length=1, max_length=255, examples=["sat-modem-01"])]
    kind: OutageKind
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


class ShipView(BaseModel):
    mode: ModeView
    maintenance: list[MaintenanceView]
    outages: list[OutageView]


def state_of(spell: Spell, now: datetime) -> State:
    if now < spell.start:
        return "planned"
    return "running" if now < spell.end else "over"


def check_times(new: NewDeclaration, now: datetime, limits: DeclarationLimits) -> datetime:
    """The start of the declaration; by default *now*."""
    start = new.start or now
    if new.end <= max(start, now):
        raise Problem(422, "body.end: must be after the start and lie in the future")
    if new.end - start > limits.longest:
        detail = f"body.end: at most {limits.longest_hours:g} h after the start (ship.yaml)"
        raise Problem(422, detail)
    return start


def check_number(known: Iterable[Spell], now: datetime, limits: DeclarationLimits) -> None:
    if sum(state_of(one, now) != "over" for one in known) >= limits.most:
        raise Problem(409, f"there are {limits.most} already (ship.yaml); end one first")


def check_extent(window: MaintenanceWindow, inventory: Inventory) -> None:
    """Refuse a window over the whole ship: it would lower the severity of everything.

    A device that all others need may be named, with its dependants.
    """
    named = any(pattern.strip("*?") for pattern in (*window.devices, *window.services))
    everything = len(inventory) > 1 and all(
        window.matches(device.id) for device in inventory.devices
    )
    if not named or (everything and not window.services):
        raise Problem(422, "body.devices: name devices or services, not the whole ship")
