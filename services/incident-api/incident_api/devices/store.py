"""The stored inventory. Every method raises Unavailable while the store is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import NamedTuple, Protocol

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import Device
from aiops_core.runtime.unreadable import read_all
from incident_api.devices.models import UnknownHost
from incident_api.reads import SqlQueries
from incident_api.rows import micros

FIELDS = tuple(Device.model_fields)
TABLE = "aiops.devices"
COLUMNS = (*FIELDS, "updated_at", "updated_by", "removed")
DEVICES = (
    "SELECT id, name, type, site, criticality, upstream, owner, labels"
    " FROM aiops.devices FINAL WHERE removed = 0 ORDER BY id"
)
UNKNOWN_HOSTS = (
    "SELECT device_id, count(), max(ts), groupUniqArray(5)(toString(service))"
    " FROM aiops.anomalies FINAL"
    " WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s))"
    " AND device_id NOT IN %(known)s"
    " GROUP BY device_id ORDER BY count() DESC, device_id LIMIT %(most)s"
)
NEWEST = "SELECT max(updated_at) FROM aiops.devices"


@dataclass(frozen=True, slots=True)
class InventoryEdition:
    """The devices that one import changed or removed, at the time *at*, by the user *by*."""

    changed: Sequence[Device]
    removed: Sequence[Device]
    at: datetime
    by: str


class StoredInventory(NamedTuple):
    """All devices, and the time of the newest edition."""

    devices: Sequence[Device]
    newest: datetime


class DeviceStore(Protocol):
    async def load(self) -> StoredInventory: ...

    async def unknown_hosts(
        self, since: datetime, known: Sequence[str], most: int
    ) -> Sequence[UnknownHost]:
        """Hosts of anomalies stored since then, without *known* ids, the busiest first."""

    async def write(self, edition: InventoryEdition) -> None:
        """Store all of it or nothing. It takes effect if it is newer than what is stored."""


class ClickHouseDevices:
    def __init__(self, clickhouse: ClickHouse, reads: SqlQueries | None = None) -> None:
        self._clickhouse, self._reads = clickhouse, reads or clickhouse

    async def load(self) -> StoredInventory:
        rows = await self._reads.query(DEVICES)
        [(newest,)] = await self._reads.query(NEWEST)
        devices = read_all(rows, "incident-api.devices", _device, name=itemgetter(0))
        return StoredInventory(devices, newest.replace(tzinfo=UTC))

    async def unknown_hosts(
        self, since: datetime, known: Sequence[str], most: int
    ) -> Sequence[UnknownHost]:
        bound = {"since": micros(since), "known": tuple(known) or ("",), "most": most}
        return [
            UnknownHost(
                host=host, anomalies=number, last_seen=last.replace(tzinfo=UTC), services=sorted(s)
            )
            for host, number, last, s in await self._reads.query(UNKNOWN_HOSTS, bound)
        ]

    async def write(self, edition: InventoryEdition) -> None:
        rows = [_row(device, edition, removed=0) for device in edition.changed]
        rows += [_row(device, edition, removed=1) for device in edition.removed]
        await self._clickhouse.insert(TABLE, COLUMNS, rows)


def _row(device: Device, edition: InventoryEdition, *, removed: int) -> tuple[object, ...]:
    values = device.model_dump() | {"criticality": device.criticality.value}
    return (*(values[field] for field in FIELDS), edition.at, edition.by, removed)


def _device(row: Row) -> Device:
    return Device.model_validate(dict(zip(FIELDS, row, strict=True)))
