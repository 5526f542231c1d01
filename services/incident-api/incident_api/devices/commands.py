"""Imports into the inventory: checked, stored, published.

ClickHouse has the truth, the bucket a copy. After a kill between the two writes, or a broker that
lost its disk, the copy differs: it is written again at start and by the background loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET, KEY, Inventory
from aiops_core.models import Device
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.devices.import_rules import BYTES_MOST, Flaw, flaws_of, merged, plan
from incident_api.devices.models import DeviceImport, ImportReport, UnknownHost
from incident_api.devices.store import DeviceStore
from incident_api.outage import DependencyOutages, ensure_connected, keep_doing
from incident_api.problems import FieldError, Problem

log = StructuredLogger.get_logger(name="devices", service="incident-api", version=__version__)

COMPARE_EVERY = 5.0  # seconds
UNKNOWN_READ = 1000  # hosts, some of which the inventory knows by now
TICK = timedelta(microseconds=1)


class DeviceCommands:
    """The inventory of this process, and the only writer of the stored and the published one."""

    def __init__(
        self, store: DeviceStore, bus: Bus, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._inventory: Inventory | None = None
        self._newest = datetime.fromtimestamp(0, UTC)
        self._writing = asyncio.Lock()

    @property
    def inventory(self) -> Inventory:
        """Raises Unavailable until it has been read."""
        if self._inventory is None:
            raise Unavailable("incident-api is starting and waits for ClickHouse and NATS")
        return self._inventory

    async def recover(self) -> None:
        """Read the stored inventory, and publish it where the copy differs."""
        devices, self._newest = await self._store.load()
        self._inventory = Inventory(devices)
        await self._publish()

    async def keep_published(self) -> None:
        await keep_doing(
            self._publish_again,
            COMPARE_EVERY,
            DependencyOutages("nats").outage("the inventory is not published"),
        )

    async def _publish_again(self) -> None:
        async with self._writing:
            await self._publish()

    async def imports(self, asked: DeviceImport, actor: str) -> ImportReport:
        """Import, or report what would change. Problem 422 with the place of every mistake."""
        given = [new.device() for new in asked.devices]
        async with self._writing:
            known = self.inventory
            _refuse(flaws_of(known, given, prune=asked.prune), len(given))
            changes = plan(known, given, prune=asked.prune)
            after = merged(known, given, prune=asked.prune)
            _fits(after)
            if not asked.dry_run:
                touched = {*changes.added, *(change.id for change in changes.changed)}
                await self._store_edition(
                    changed=[device for device in given if device.id in touched],
                    removed=[d for d in known.devices if d.id in changes.removed],
                    actor=actor,
                )
                self._inventory = after
                if touched or changes.removed:
                    log.info(
                        "devices imported",
                        actor=actor,
                        added=changes.added,
                        changed=sorted(touched.difference(changes.added)),
                        removed=changes.removed,
                    )
                await self._publish()
        return ImportReport(**changes.model_dump(), dry_run=asked.dry_run, total=len(after))

    async def unknown_hosts(self, since: datetime, most: int) -> list[UnknownHost]:
        """Hosts of anomalies since then that are no name of a device, the busiest first."""
        known = self.inventory
        ids = [device.id for device in known.devices]
        found = await self._store.unknown_hosts(since, ids, UNKNOWN_READ)
        return [one for one in found if known.resolve(one.host) is None][:most]

    async def _store_edition(
        self, changed: Sequence[Device], removed: Sequence[Device], actor: str
    ) -> None:
        """Store it as newer than all that is stored, whatever the clock of the host says."""
        ensure_connected(self._bus)
        if changed or removed:
            at = max(self._clock(), self._newest + TICK)
            await self._store.write(changed, removed, at, actor)
            self._newest = at

    async def _publish(self) -> None:
        wanted, bucket = self.inventory.to_json(), self._bus.bucket(BUCKET)
        if await bucket.get(KEY) != wanted:
            await bucket.put(KEY, wanted)
            log.info("inventory published", devices=len(self.inventory))


def _fits(inventory: Inventory) -> None:
    size = len(inventory.to_json())
    if size > BYTES_MOST:
        raise Problem(
            422, f"all devices together would take {size} bytes as JSON, at most {BYTES_MOST} fit"
        )


def _refuse(flaws: Sequence[Flaw], given: int) -> None:
    if not flaws:
        return
    errors = [FieldError(field=_place(flaw, given), message=flaw.text) for flaw in flaws]
    raise Problem(422, "; ".join(error.message for error in errors[:5]), errors=errors)


def _place(flaw: Flaw, given: int) -> str:
    """The place in the request; a flaw of a known device concerns the whole list."""
    return f"body.devices.{flaw.index}.{flaw.field}" if flaw.index < given else "body.devices"
