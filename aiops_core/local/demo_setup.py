"""What a demo needs before its first line: a folder of its own, and the ship's devices in the store."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.local.fleet_files import only_one
from aiops_core.models import Device

RUN_FOLDER = "run-"
STORE_TRIES = 50
STORE_PAUSE = 0.2  # seconds
COLUMNS = (
    "id", "name", "type", "site", "criticality", "upstream", "owner", "labels", "updated_at",
)  # fmt: skip


@contextlib.contextmanager
def fresh_folder(data: Path) -> Iterator[Path]:
    """A folder below *data* for one demo, so that no incident of an earlier one absorbs its lines.

    It stays afterwards, for who wants to look at its logs; those of earlier demos go.
    """
    with only_one(data):
        for old in data.glob(f"{RUN_FOLDER}*"):
            shutil.rmtree(old, ignore_errors=True)
        yield data / f"{RUN_FOLDER}{datetime.now(UTC):%Y%m%dT%H%M%S}"


async def load_inventory(clickhouse_url: str, devices: Sequence[Device]) -> None:
    """Write *devices* into ClickHouse. The table may be some moments away from being made."""
    now = datetime.now(UTC)
    rows = [(*(getattr(device, column) for column in COLUMNS[:-1]), now) for device in devices]
    async with ClickHouse.open(clickhouse_url, threads=1) as store:
        for attempt in range(STORE_TRIES):
            try:
                return await store.insert("aiops.devices", COLUMNS, rows)
            except (Unavailable, QueryFailed):
                if attempt == STORE_TRIES - 1:
                    raise
                await asyncio.sleep(STORE_PAUSE)
