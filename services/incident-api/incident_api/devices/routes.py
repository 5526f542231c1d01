"""``/api/v3/devices``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Device, Severity
from incident_api import cursor
from incident_api.auth.actor import Actor
from incident_api.cursor import CursorText, Limit
from incident_api.devices.desk import DeviceDesk
from incident_api.devices.models import (
    DeviceImport,
    DevicePage,
    DeviceView,
    Graph,
    ImportReport,
    StrangerList,
)
from incident_api.problems import Problem, responses
from incident_api.store import Position

router = APIRouter(prefix="/api/v3/devices", tags=["devices"], responses=responses(422, 503, 504))


def _desk(request: Request) -> DeviceDesk:
    desk: DeviceDesk = request.app.state.devices
    return desk


def _inventory(request: Request) -> Inventory:
    return _desk(request).inventory


Devices = Annotated[DeviceDesk, Depends(_desk)]
Known = Annotated[Inventory, Depends(_inventory)]
Word = Annotated[str, Query(max_length=200)]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=255,
        description="Its id, a host name, an IP address or its display name.",
        examples=["sw-core-01"],
    ),
]


@router.get("", summary="List devices by id")
async def list_devices(
    known: Known,
    type: Word = "",
    site: Annotated[str, Query(max_length=200, description="Text in the site.")] = "",
    owner: Word = "",
    criticality: Annotated[tuple[Severity, ...], Query(description="Any of these.")] = (),
    q: Annotated[str, Query(max_length=200, description="Text in id, name or labels.")] = "",
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> DevicePage:
    after = cursor.decode(cursor_)
    found = [
        device
        for device in known.devices
        if (not after or device.id > after.id)
        and (not criticality or device.criticality in criticality)
        and type in ("", device.type)
        and owner in ("", device.owner)
        and site.casefold() in device.site.casefold()
        and q.casefold() in _text(device)
    ]
    page = found[:limit]
    ends = [Position(0, device.id) for device in page]
    return DevicePage(items=page, next_cursor=cursor.following(ends, more=len(found) > limit))


@router.get("/graph", summary="All devices and dependencies")
async def graph(known: Known) -> Graph:
    return Graph.of(known)


@router.get("/unknown", summary="Hosts of anomalies that the inventory lacks")
async def strangers(
    desk: Devices,
    request: Request,
    hours: Annotated[float, Query(gt=0, le=24 * 30, description="So far back.")] = 24,
    limit: Limit = cursor.PAGE,
) -> StrangerList:
    """What they send cannot be placed in the dependency graph; import them to change that."""
    since = request.app.state.clock() - timedelta(hours=hours)
    return StrangerList(items=await desk.strangers(since, limit))


@router.get("/{name:path}", summary="Show one device", responses=responses(404))
async def show_device(name: Name, known: Known) -> DeviceView:
    device = known.get(known.resolve(name) or "")
    if device is None:
        raise Problem(404, f"there is no device {name}")
    return DeviceView.of(known, device)


@router.post("/import", summary="Import devices, or try what an import would change")
async def import_devices(asked: DeviceImport, desk: Devices, actor: Actor) -> ImportReport:
    """Refused as a whole, with the place of every mistake, when an id is there twice, a parent is
    unknown or devices need each other in a circle. A known device is replaced as a whole."""
    return await desk.imports(asked, actor)


def _text(device: Device) -> str:
    return "\n".join((device.id, device.name, *device.labels.values())).casefold()
