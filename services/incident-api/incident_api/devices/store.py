"""Where the inventory is remembered. Every method raises Unavailable while the store is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import NamedTuple, Protocol

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.models import Device
from aiops_core.runtime.unreadable import read_all
from incident_api.rows import micros
from incident_api.written import SqlQueries

FIELDS = tuple(Device.model_fields)
TABLE = "aiops.devices"
COLUMNS = (*FIELDS, "updated_at", "updated_by", "removed")
DEVICES = (
    "SELECT id, name, type, site, criticality, upstream, owner, labels"
    " FROM aiops.devices FINAL WHERE removed = 0 ORDER BY id"
)
STRANGERS = (
    "SELECT device_id, count(), max(ts), groupUniqArray(5)(toString(service)) FROM aiops.anomalies FINAL"
    " WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) AND device_id NOT IN %(known)s"
    " GROUP BY device_id ORDER BY count() DESC, device_id LIMIT %(most)s"
)
NEWEST = "SELECT max(updated_at) FROM aiops.devices"


@dataclass(frozen=True, slots=True)
class Edition:
    """What one import changes: told at *at* by *by*."""

    told: Sequence[Device]
    removed: Sequence[Device]
    at: datetime
    by: str


class Kept(NamedTuple):
    """All devices, and when the newest of them was told."""

    devices: Sequence[Device]
    newest: datetime


class Sender(NamedTuple):
    """Something that anomalies came from: so many, the last at *last_seen*."""

    name: str
    anomalies: int
    last_seen: datetime
    services: Sequence[str]


class DeviceStore(Protocol):
    async def load(self) -> Kept: ...

    async def senders(self, since: datetime, known: Sequence[str], most: int) -> Sequence[Sender]:
        """What anomalies stored from *since* on came from, without *known* ids, the busiest first."""

    async def write(self, edition: Edition) -> None:
        """All of it or nothing. Only an edition that is newer than what is kept takes effect."""


class ClickHouseDevices:
    def __init__(self, clickhouse: ClickHouse, reads: SqlQueries | None = None) -> None:
        self._clickhouse, self._reads = clickhouse, reads or clickhouse

    async def load(self) -> Kept:
        rows = await self._reads.query(DEVICES)
        [(newest,)] = await self._reads.query(NEWEST)
        devices = read_all(rows, "incident-api.devices", _device, name=itemgetter(0))
        return Kept(devices, newest.replace(tzinfo=UTC))

    async def senders(self, since: datetime, known: Sequence[str], most: int) -> Sequence[Sender]:
        bound = {"since": micros(since), "known": tuple(known) or ("",), "most": most}
        rows = await self._reads.query(STRANGERS, bound)
        return [Sender(name, n, ts.replace(tzinfo=UTC), sorted(s)) for name, n, ts, s in rows]

    async def write(self, edition: Edition) -> None:
        rows = [_row(device, edition, removed=0) for device in edition.told]
        rows += [_row(device, edition, removed=1) for device in edition.removed]
        await self._clickhouse.insert(TABLE, COLUMNS, rows)


def _row(device: Device, edition: Edition, *, removed: int) -> tuple[object, ...]:
    values = device.model_dump() | {"criticality": device.criticality.value}
    return (*(values[field] for field in FIELDS), edition.at, edition.by, removed)


def _device(row: Row) -> Device:
    return Device.model_validate(dict(zip(FIELDS, row, strict=True)))
