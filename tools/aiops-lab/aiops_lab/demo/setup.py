"""The set-up of a demo: a folder of its own, and the ship's devices in the fleet."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiops_cli.api import Api
from aiops_core.errors import Unavailable
from aiops_core.models import Device
from aiops_lab.fleet.files import only_one

RUN_FOLDER = "run-"
TRIES = 50
PAUSE = 0.2  # seconds


@contextlib.contextmanager
def fresh_folder(data: Path) -> Iterator[Path]:
    """A folder below *data* for one demo, so that no incident of an earlier one absorbs its lines.

    It stays afterwards, with its logs; those of earlier demos are removed.
    """
    with only_one(data):
        for old in data.glob(f"{RUN_FOLDER}*"):
            shutil.rmtree(old, ignore_errors=True)
        yield data / f"{RUN_FOLDER}{datetime.now(UTC):%Y%m%dT%H%M%S}"


async def load_inventory(api_url: str, devices: Sequence[Device]) -> None:
    """Import *devices* through the API, which may be some moments away from being ready."""
    body = [device.model_dump(mode="json") for device in devices]

    def post() -> None:
        with Api.open(api_url) as calls:
            calls.post("/devices/import", devices=body)

    for attempt in range(TRIES):
        try:
            return await asyncio.to_thread(post)
        except Unavailable:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(PAUSE)
