"""Bodies of ``/api/v3/devices``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, Field

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Device, Severity, UtcDatetime
from incident_api.devices.import_rules import MOST, ImportPlan, NewDevice
from incident_api.problems import RequestBody

EXAMPLE = [
    {"id": "sw-core-01", "type": "core_switch", "criticality": "critical"},
    {
        "id": "ap-d05-01",
        "site": "deck 5",
        "upstream": ["sw-core-01"],
        "labels": {"ip": "10.20.0.27"},
    },
]


class DeviceImport(RequestBody):
    """The devices to import. A known one is replaced as a whole."""

    devices: Annotated[list[NewDevice], Field(max_length=MOST, examples=[EXAMPLE])]
    dry_run: bool = Field(default=False, description="Report the changes, and make none.")
    prune: bool = Field(default=False, description="Remove known devices that are not among these.")


class ImportReport(ImportPlan):
    """The changes of an import; *total* devices are known after it."""

    dry_run: bool
    total: int


class RelatedDevice(BaseModel):
    """A device up- or downstream, *hops* dependencies away."""

    id: str = Field(examples=["sw-core-01"])
    name: str
    type: str
    criticality: Severity
    upstream: tuple[str, ...]
    hops: int

    @classmethod
    def all_of(cls, inventory: Inventory, distances: Mapping[str, int]) -> list[Self]:
        shown = {"id", "name", "type", "criticality", "upstream"}
        return [
            cls.model_validate(device.model_dump(include=shown) | {"hops": hops})
            for id, hops in distances.items()
            if (device := inventory.get(id))
        ]


class DeviceView(BaseModel):
    """A device with everything that it needs and everything that needs it, nearest first."""

    device: Device
    upstream: list[RelatedDevice]
    downstream: list[RelatedDevice]

    @classmethod
    def of(cls, inventory: Inventory, device: Device) -> Self:
        return cls(
            device=device,
            upstream=RelatedDevice.all_of(inventory, inventory.above(device.id)),
            downstream=RelatedDevice.all_of(inventory, inventory.below(device.id)),
        )


class UnknownHost(BaseModel):
    """A host that anomalies came from and that is no name of a device in the inventory."""

    host: str = Field(examples=["10.20.7.91"])
    anomalies: int
    last_seen: UtcDatetime
    services: list[str]


class DependencyEdge(BaseModel):
    """*source* must work for *target* to work."""

    source: str
    target: str


class DependencyGraph(BaseModel):
    nodes: list[Device]
    edges: list[DependencyEdge]

    @classmethod
    def of(cls, inventory: Inventory) -> Self:
        edges = [
            DependencyEdge(source=device.id, target=child)
            for device in inventory.devices
            for child in inventory.children_of(device.id)
        ]
        return cls(nodes=list(inventory.devices), edges=edges)
