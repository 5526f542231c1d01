"""Checks of declarations: each returns, or raises the request's Problem. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.suppression.ship import MaintenanceWindow, Spell
from incident_api.policy import DeclarationLimits
from incident_api.problems import Problem
from incident_api.ship.models import State


def state_of(spell: Spell, now: datetime) -> State:
    if now < spell.start:
        return "planned"
    return "running" if now < spell.end else "over"


def check_times(
    start: datetime | None, end: datetime, now: datetime, limits: DeclarationLimits
) -> datetime:
    """The start of a declaration that ends at *end*; by default *now*."""
    start = start or now
    if end <= max(start, now):
        raise Problem(422, "body.end: must be after the start and lie in the future")
    if end - start > limits.longest:
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
