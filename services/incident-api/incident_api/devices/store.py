"""The stored inventory. Every method raises Unavailable while the store is away."""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Protocol

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import Device
from aiops_core.runtime.unreadable import read_all
from incident_api.devices.models import UnknownHost
from incident_api.reads import SqlQueries
from incident_api.rows import micros, sql_time

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
    f" WHERE stored_at >= {sql_time('since')}"
    " AND device_id NOT IN %(known)s"
    " GROUP BY device_id ORDER BY count() DESC, device_id LIMIT %(most)s"
)
NEWEST = "SELECT max(updated_at) FROM aiops.devices"


class DeviceStore(Protocol):
    async def load(self) -> tuple[Sequence[Device], datetime]:
        """All devices, and the time of the newest write."""

    async def unknown_hosts(
        self, since: datetime, known: Sequence[str], most: int
    ) -> Sequence[UnknownHost]:
        """Hosts of anomalies stored since then, without *known* ids, the busiest first."""

    async def write(
        self, changed: Sequence[Device], removed: Sequence[Device], at: datetime, by: str
    ) -> None:
        """Store all devices of an import of the user *by*, or nothing. It takes effect if *at* is
        newer than what is stored."""


class ClickHouseDevices:
    def __init__(self, clickhouse: ClickHouse, reads: SqlQueries | None = None) -> None:
        self._clickhouse, self._reads = clickhouse, reads or clickhouse

    async def load(self) -> tuple[Sequence[Device], datetime]:
        rows = await self._reads.query(DEVICES)
        [(newest,)] = await self._reads.query(NEWEST)
        devices = read_all(rows, "incident-api.devices", _device, name=itemgetter(0))
        return devices, newest.replace(tzinfo=UTC)

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

    async def write(
        self, changed: Sequence[Device], removed: Sequence[Device], at: datetime, by: str
    ) -> None:
        rows = [(*_values(device), at, by, 0) for device in changed]
        rows += [(*_values(device), at, by, 1) for device in removed]
        await self._clickhouse.insert(TABLE, COLUMNS, rows)


def _values(device: Device) -> tuple[object, ...]:
    values = device.model_dump() | {"criticality": device.criticality.value}
    return tuple(values[field] for field in FIELDS)


def _device(row: Row) -> Device:
    return Device.model_validate(dict(zip(FIELDS, row, strict=True)))
