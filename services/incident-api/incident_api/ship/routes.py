"""``/api/v3/ship``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from aiops_core.inventory.inventory import Inventory
from aiops_core.suppression.ship import LinkOutage, MaintenanceWindow
from incident_api.auth.actor import Actor
from incident_api.devices.desk import DeviceDesk
from incident_api.problems import responses
from incident_api.ship.desk import ShipDesk
from incident_api.ship.models import (
    MaintenanceList,
    MaintenanceView,
    ModeView,
    NewMaintenance,
    NewMode,
    NewOutage,
    OutageList,
    OutageView,
    ShipView,
    State,
)

router = APIRouter(prefix="/api/v3/ship", tags=["ship"], responses=responses(422, 503))


def _desk(request: Request) -> ShipDesk:
    desk: ShipDesk = request.app.state.ship
    return desk


def _inventory(request: Request) -> Inventory:
    devices: DeviceDesk = request.app.state.devices
    return devices.inventory


AtDesk = Annotated[ShipDesk, Depends(_desk)]
Known = Annotated[Inventory, Depends(_inventory)]
Id = Annotated[str, Path(min_length=1, max_length=100, examples=["m-3f9a01bc"])]


@router.get("", summary="Mode, maintenance windows and outages that are planned or running")
async def show_ship(desk: AtDesk, known: Known) -> ShipView:
    ship = desk.ship
    windows = [_window(window, desk, known) for window in ship.maintenance]
    outages = [_outage(outage, desk, known) for outage in ship.outages]
    return ShipView(
        mode=ModeView.of(ship, desk.now),
        maintenance=[view for view in windows if view.state != "over"],
        outages=[view for view in outages if view.state != "over"],
    )


@router.get("/mode", summary="The ship's mode, and what it was before")
async def show_mode(desk: AtDesk) -> ModeView:
    return ModeView.of(desk.ship, desk.now)


@router.put("/mode", summary="Set the ship's mode")
async def set_mode(new: NewMode, desk: AtDesk, actor: Actor) -> ModeView:
    """A time in the past corrects what was said of that time and later."""
    await desk.set_mode(new, actor)
    return ModeView.of(desk.ship, desk.now)


@router.get("/maintenance", summary="Maintenance windows, those of the last days included")
async def list_maintenance(desk: AtDesk, known: Known) -> MaintenanceList:
    windows = sorted(desk.ship.maintenance, key=lambda window: window.start)
    return MaintenanceList(items=[_window(window, desk, known) for window in windows])


@router.post(
    "/maintenance",
    summary="Declare a maintenance window",
    status_code=201,
    responses=responses(409),
)
async def add_maintenance(
    new: NewMaintenance, desk: AtDesk, known: Known, actor: Actor, response: Response
) -> MaintenanceView:
    window = await desk.add_maintenance(new, actor)
    response.headers["Location"] = f"{router.prefix}/maintenance/{window.id}"
    return _window(window, desk, known)


@router.get("/maintenance/{id}", summary="Show a maintenance window", responses=responses(404))
async def show_maintenance(id: Id, desk: AtDesk, known: Known) -> MaintenanceView:
    return _window(desk.maintenance(id), desk, known)


@router.delete("/maintenance/{id}", summary="End a maintenance window", responses=responses(404))
async def end_maintenance(id: Id, desk: AtDesk, known: Known, actor: Actor) -> MaintenanceView:
    """A running window ends now and goes on to explain what happened in it; a planned one goes."""
    window, state = await desk.end_maintenance(id, actor)
    return _window(window, desk, known, state)


@router.get("/outages", summary="Known outages of links, those of the last days included")
async def list_outages(desk: AtDesk, known: Known) -> OutageList:
    outages = sorted(desk.ship.outages, key=lambda outage: outage.start)
    return OutageList(items=[_outage(outage, desk, known) for outage in outages])


@router.post(
    "/outages", summary="Declare an outage of a link", status_code=201, responses=responses(409)
)
async def add_outage(
    new: NewOutage, desk: AtDesk, known: Known, actor: Actor, response: Response
) -> OutageView:
    outage = await desk.add_outage(new, actor)
    response.headers["Location"] = f"{router.prefix}/outages/{outage.id}"
    return _outage(outage, desk, known)


@router.get("/outages/{id}", summary="Show an outage", responses=responses(404))
async def show_outage(id: Id, desk: AtDesk, known: Known) -> OutageView:
    return _outage(desk.outage(id), desk, known)


@router.delete("/outages/{id}", summary="End an outage", responses=responses(404))
async def end_outage(id: Id, desk: AtDesk, known: Known, actor: Actor) -> OutageView:
    """A running outage ends now and goes on to explain what happened in it; a planned one goes."""
    outage, state = await desk.end_outage(id, actor)
    return _outage(outage, desk, known, state)


def _window(
    window: MaintenanceWindow, desk: ShipDesk, known: Inventory, state: State | None = None
) -> MaintenanceView:
    covers = [
        device.id
        for device in known.devices
        if window.devices and window.matches(device.id, known.upstream_of(device.id))
    ]
    return MaintenanceView(window=window, state=state or desk.state_of(window), covers=covers)


def _outage(
    outage: LinkOutage, desk: ShipDesk, known: Inventory, state: State | None = None
) -> OutageView:
    dependants = list(known.downstream_of(outage.device))
    return OutageView(outage=outage, state=state or desk.state_of(outage), dependants=dependants)
