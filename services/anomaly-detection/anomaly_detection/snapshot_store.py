"""Snapshots in the bucket ``detectors``: written in small pieces, so that nothing else has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus
from anomaly_detection import snapshots
from anomaly_detection.detectors.base import Snapshot
from anomaly_detection.snapshots import Broken, Manifest, Slot

NAME = "anomaly-detection"
BUCKET = "detectors"


class SnapshotStore:
    """All methods raise Unavailable while the broker is away."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(BUCKET)

    async def newest(self) -> Manifest | None:
        """The snapshot that counts; raises Broken."""
        data = await self._bucket.get(snapshots.MANIFEST)
        return None if data is None else Manifest.read(data)

    async def read(self, manifest: Manifest, detector: str) -> Mapping[str, JsonValue]:
        """All that *detector* remembered; raises Broken."""
        state: dict[str, JsonValue] = {}
        for part in range(manifest.parts.get(detector, 0)):
            data = await self._bucket.get(snapshots.key(manifest.slot, detector, part))
            if data is None:
                raise Broken(f"part {part} is missing")
            state |= snapshots.unpack(data)
        return state

    async def write(self, slot: Slot, detector: str, image: Iterator[Snapshot]) -> int:
        """Write the parts of one detector, with a turn for others after each piece; how many."""
        part, keys, lines = 0, 0, list[str]()
        for piece in image:
            keys += len(piece)
            lines.append(snapshots.line(piece))
            if sum(map(len, lines)) >= snapshots.FULL:
                await self._put(slot, detector, part, lines)
                part, lines = part + 1, []
            await asyncio.sleep(0)
        if lines:
            await self._put(slot, detector, part, lines)
        metrics.STATE_SIZE.labels(NAME, detector).set(keys)
        return part + bool(lines)

    async def commit(self, manifest: Manifest) -> None:
        """From now on it counts."""
        await self._bucket.put(snapshots.MANIFEST, manifest.dump())

    async def _put(self, slot: Slot, detector: str, part: int, lines: Sequence[str]) -> None:
        data = await asyncio.to_thread(snapshots.pack, lines)
        await self._bucket.put(snapshots.key(slot, detector, part), data)
