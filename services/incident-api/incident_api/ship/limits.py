"""What may be declared about the ship: each check returns, or raises the Problem of the request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.suppression.ship import MaintenanceWindow, Spell
from incident_api.problems import Problem
from incident_api.ship.models import State
from incident_api.ship.policy import Spells


def state_of(spell: Spell, now: datetime) -> State:
    if now < spell.start:
        return "planned"
    return "running" if now < spell.end else "over"


def start_of(start: datetime | None, end: datetime, now: datetime, limits: Spells) -> datetime:
    """*start*, by default *now*, of what may go on until *end*."""
    start = start or now
    if end <= max(start, now):
        raise Problem(422, "body.end: must be after the start and lie in the future")
    if end - start > limits.longest:
        detail = f"body.end: at most {limits.longest_hours:g} h after the start (ship.yaml)"
        raise Problem(422, detail)
    return start


def room(known: Iterable[Spell], now: datetime, limits: Spells) -> None:
    if sum(state_of(one, now) != "over" for one in known) >= limits.most:
        raise Problem(409, f"there are {limits.most} already (ship.yaml); end one first")


def narrow(window: MaintenanceWindow, inventory: Inventory) -> None:
    """A window over everything would talk down whatever happens on the ship; one over a device that
    everything else needs is meant."""
    named = any(pattern.strip("*?") for pattern in (*window.devices, *window.services))
    everything = len(inventory) > 1 and all(
        window.matches(device.id) for device in inventory.devices
    )
    if not named or (everything and not window.services):
        raise Problem(422, "body.devices: name devices or services, not the whole ship")
