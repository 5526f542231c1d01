"""``/api/v3/ship``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from aiops_core.suppression.ship import LinkOutage, MaintenanceWindow
from incident_api.guard import Actor
from incident_api.pages import ItemList
from incident_api.parameters import Api
from incident_api.problems import responses
from incident_api.ship.models import (
    MaintenanceView,
    ModeView,
    NewMaintenance,
    NewMode,
    NewOutage,
    OutageView,
    ShipView,
    State,
    state_of,
)

router = APIRouter(prefix="/api/v3/ship", tags=["ship"], responses=responses(422, 503))


Id = Annotated[str, Path(min_length=1, max_length=100, examples=["m-3f9a01bc"])]


@router.get("", summary="Mode, maintenance windows and outages that are planned or running")
async def show_ship(api: Api) -> ShipView:
    ship = api.ship.ship
    windows = [_window(window, api) for window in ship.maintenance]
    outages = [_outage(outage, api) for outage in ship.outages]
    return ShipView(
        mode=ModeView.of(ship, api.ship.now),
        maintenance=[view for view in windows if view.state != "over"],
        outages=[view for view in outages if view.state != "over"],
    )


@router.get("/mode", summary="The ship's mode, and what it was before")
async def show_mode(api: Api) -> ModeView:
    return ModeView.of(api.ship.ship, api.ship.now)


@router.put("/mode", summary="Set the ship's mode")
async def set_mode(new: NewMode, api: Api, actor: Actor) -> ModeView:
    """A time in the past corrects what was said of that time and later."""
    await api.ship.set_mode(new, actor)
    return ModeView.of(api.ship.ship, api.ship.now)


@router.get("/maintenance", summary="Maintenance windows, those of the last days included")
async def list_maintenance(api: Api) -> ItemList[MaintenanceView]:
    return ItemList(items=[_window(one, api) for one in api.ship.all(MaintenanceWindow)])


@router.post(
    "/maintenance",
    summary="Declare a maintenance window",
    status_code=201,
    responses=responses(409),
)
async def add_maintenance(
    new: NewMaintenance, api: Api, actor: Actor, response: Response
) -> MaintenanceView:
    window = await api.ship.add_maintenance(new, actor)
    response.headers["Location"] = f"{router.prefix}/maintenance/{window.id}"
    return _window(window, api)


@router.get("/maintenance/{id}", summary="Show a maintenance window", responses=responses(404))
async def show_maintenance(id: Id, api: Api) -> MaintenanceView:
    return _window(api.ship.find(MaintenanceWindow, id), api)


@router.delete("/maintenance/{id}", summary="End a maintenance window", responses=responses(404))
async def end_maintenance(id: Id, api: Api, actor: Actor) -> MaintenanceView:
    """A running window ends now and goes on to explain what happened in it; a planned one goes."""
    window, state = await api.ship.end(MaintenanceWindow, id, actor)
    return _window(window, api, state)


@router.get("/outages", summary="Known outages of links, those of the last days included")
async def list_outages(api: Api) -> ItemList[OutageView]:
    return ItemList(items=[_outage(one, api) for one in api.ship.all(LinkOutage)])


@router.post(
    "/outages", summary="Declare an outage of a link", status_code=201, responses=responses(409)
)
async def add_outage(new: NewOutage, api: Api, actor: Actor, response: Response) -> OutageView:
    outage = await api.ship.add_outage(new, actor)
    response.headers["Location"] = f"{router.prefix}/outages/{outage.id}"
    return _outage(outage, api)


@router.get("/outages/{id}", summary="Show an outage", responses=responses(404))
async def show_outage(id: Id, api: Api) -> OutageView:
    return _outage(api.ship.find(LinkOutage, id), api)


@router.delete("/outages/{id}", summary="End an outage", responses=responses(404))
async def end_outage(id: Id, api: Api, actor: Actor) -> OutageView:
    """A running outage ends now and goes on to explain what happened in it; a planned one goes."""
    outage, state = await api.ship.end(LinkOutage, id, actor)
    return _outage(outage, api, state)


def _window(window: MaintenanceWindow, api: Api, state: State | None = None) -> MaintenanceView:
    inventory = api.devices.inventory
    covers = [
        device.id
        for device in inventory.devices
        if window.devices and window.matches(device.id, inventory.upstream_of(device.id))
    ]
    state = state or state_of(window, api.ship.now)
    return MaintenanceView(window=window, state=state, covers=covers)


def _outage(outage: LinkOutage, api: Api, state: State | None = None) -> OutageView:
    dependants = list(api.devices.inventory.downstream_of(outage.device_id))
    state = state or state_of(outage, api.ship.now)
    return OutageView(outage=outage, state=state, dependants=dependants)
