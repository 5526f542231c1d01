"""``/api/v3/devices``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from aiops_core.models import Device, Severity
from incident_api.devices.models import (
    DependencyGraph,
    DeviceImport,
    DeviceView,
    ImportReport,
    UnknownHost,
)
from incident_api.guard import Actor
from incident_api.pages import PAGE, Cursor, ItemList, Limit, Page
from incident_api.parameters import Api
from incident_api.problems import Problem, responses

router = APIRouter(prefix="/api/v3/devices", tags=["devices"], responses=responses(422, 503, 504))


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
    api: Api,
    after: Cursor,
    type: Word = "",
    site: Annotated[str, Query(max_length=200, description="Text in the site.")] = "",
    owner: Word = "",
    criticality: Annotated[tuple[Severity, ...], Query(description="Any of these.")] = (),
    q: Annotated[str, Query(max_length=200, description="Text in id, name or labels.")] = "",
    limit: Limit = PAGE,
) -> Page[Device]:
    found = [
        device
        for device in api.devices.inventory.devices
        if (not after or device.id > after.id)
        and (not criticality or device.criticality in criticality)
        and type in ("", device.type)
        and owner in ("", device.owner)
        and site.casefold() in device.site.casefold()
        and q.casefold() in _text(device)
    ]
    return Page[Device].of(found, limit, lambda device: (0, device.id))


@router.get("/graph", summary="All devices and dependencies")
async def graph(api: Api) -> DependencyGraph:
    return DependencyGraph.of(api.devices.inventory)


@router.get("/unknown", summary="Hosts of anomalies that the inventory lacks")
async def unknown_hosts(
    api: Api,
    hours: Annotated[float, Query(gt=0, le=24 * 30, description="So far back.")] = 24,
    limit: Limit = PAGE,
) -> ItemList[UnknownHost]:
    """Their anomalies have no place in the dependency graph until the hosts are imported."""
    since = api.clock() - timedelta(hours=hours)
    return ItemList(items=await api.devices.unknown_hosts(since, limit))


@router.get("/{name:path}", summary="Show one device", responses=responses(404))
async def show_device(name: Name, api: Api) -> DeviceView:
    known = api.devices.inventory
    device = known.get(known.resolve(name) or "")
    if device is None:
        raise Problem(404, f"there is no device {name}")
    return DeviceView.of(known, device)


@router.post("/import", summary="Import devices, or try what an import would change")
async def import_devices(asked: DeviceImport, api: Api, actor: Actor) -> ImportReport:
    """Refused as a whole, with the place of every mistake, when an id is there twice, a parent is
    unknown or devices need each other in a circle. A known device is replaced as a whole."""
    return await api.devices.imports(asked, actor)


def _text(device: Device) -> str:
    return "\n".join((device.id, device.name, *device.labels.values())).casefold()
