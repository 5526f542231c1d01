"""Snapshots of all detectors in the bucket ``detectors``: parts, and a manifest.

Two generations alternate: a kill while one is written leaves the one before untouched. The
manifest is written last and names the generation in force.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, JsonValue

from aiops_core.models import BY_SUBJECT, UtcDatetime
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Outgoing
from anomaly_detection import NAME
from anomaly_detection.detectors.state import State
from anomaly_detection.offsets import Offset

BUCKET = "detectors"
MANIFEST = "manifest"
FULL = 1_000_000  # characters of a part; compressed far below the megabyte of a value
LARGEST = 64 * FULL  # characters of an unpacked part


class EmittedMessage(BaseModel):
    """A message of a tick with its id: emitted again it is the same one."""

    id: str
    subject: str
    message: str

    @classmethod
    def of(cls, outgoing: Outgoing) -> EmittedMessage:
        message = outgoing.message
        return cls(id=outgoing.id, subject=message.subject, message=message.model_dump_json())

    def read(self) -> Outgoing:
        """Raises ValueError."""
        kind = BY_SUBJECT.get(self.subject)
        if kind is None:
            raise ValueError(f"a message on {self.subject}, which does not exist")
        return Outgoing(kind.model_validate_json(self.message), self.id)


class Manifest(BaseModel):
    """The snapshot in force: the state after all entries up to *offset*.

    *parts* is their number by detector. A snapshot of another *schema_version* is refused: raise it
    when the layout changes.
    """

    schema_version: Literal[1] = 1
    generation: int
    offset: Offset
    latest: UtcDatetime | None = None  # the latest time of an entry up to there
    parts: dict[str, int]
    emitted: tuple[EmittedMessage, ...] = ()


def key(generation: int, detector: str, part: int) -> str:
    return f"{'ab'[generation % 2]}/{detector}/{part}"


def line(state: State) -> str:
    return json.dumps(state, separators=(",", ":"))


def pack(lines: Sequence[str]) -> bytes:
    """One part. Compression takes milliseconds without the GIL: call it in a thread."""
    return zlib.compress("\n".join(lines).encode(), 1)


def unpack(data: bytes) -> Mapping[str, JsonValue]:
    """The state in one part; raises ValueError."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, LARGEST).decode()
        if not unpacker.eof:
            raise ValueError("a part that is cut off or too large")
        return {key: value for one in text.splitlines() for key, value in json.loads(one).items()}
    except (zlib.error, ValueError, AttributeError) as exc:
        raise ValueError(f"a part that is damaged: {exc}") from exc


class SnapshotStore:
    """All methods raise Unavailable while the broker is away."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(BUCKET)

    async def newest(self) -> Manifest | None:
        """The manifest in force; raises ValueError."""
        data = await self._bucket.get(MANIFEST)
        return None if data is None else Manifest.model_validate_json(data)

    async def read(self, manifest: Manifest, detector: str) -> Mapping[str, JsonValue]:
        """The state of *detector*; raises ValueError."""
        state: State = {}
        for part in range(manifest.parts.get(detector, 0)):
            data = await self._bucket.get(key(manifest.generation, detector, part))
            if data is None:
                raise ValueError(f"part {part} is missing")
            state |= unpack(data)
        return state

    async def write(self, generation: int, detector: str, parts: Iterator[State]) -> int:
        """Write the state of *detector*, yielding to the event loop; the number of parts."""
        part, keys, lines = 0, 0, list[str]()
        for state in parts:
            keys += len(state)
            lines.append(line(state))
            if sum(map(len, lines)) >= FULL:
                await self._put(generation, detector, part, lines)
                part, lines = part + 1, []
            await asyncio.sleep(0)
        if lines:
            await self._put(generation, detector, part, lines)
        metrics.STATE_SIZE.labels(NAME, detector).set(keys)
        return part + bool(lines)

    async def commit(self, manifest: Manifest) -> None:
        """Put the generation of *manifest* in force."""
        await self._bucket.put(MANIFEST, manifest.model_dump_json().encode())

    async def _put(self, generation: int, detector: str, part: int, lines: Sequence[str]) -> None:
        data = await asyncio.to_thread(pack, lines)
        await self._bucket.put(key(generation, detector, part), data)
