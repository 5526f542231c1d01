"""What detectors remember, as values of a bucket: parts of one slot, and a manifest that makes them count.

Two slots take turns, so that a kill in the middle of a snapshot leaves the one before untouched. Pure.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, JsonValue, ValidationError

from aiops_core.models import MESSAGES, Message, UtcDatetime
from aiops_core.runtime.bus import Outgoing
from anomaly_detection.detectors.base import Snapshot

Slot = Literal["a", "b"]
MANIFEST = "manifest"
KEYS = 64  # of a piece, which is encoded in one go, in about 1 ms
FULL = (
    1_000_000  # characters of a part; compressed it is far below the megabyte that a value may have
)
LARGEST = 64 * FULL  # characters that a part may unpack to


class Broken(ValueError):
    """This is no snapshot that can be read; the text says why, for a person."""


def reason(exc: Exception) -> str:
    """Why a snapshot cannot be read, in one line."""
    if isinstance(exc, ValidationError):
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{exc.title}.{where}: {first['msg']}"
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream: the broker's *sequence*, and *at* when it stored that message."""

    sequence: int
    at: UtcDatetime

    def covers(self, other: Position) -> bool:
        """Whether *other* came before. A stream that was made anew counts from 1 again, but later."""
        return other.sequence <= self.sequence and other.at <= self.at


class Told(BaseModel):
    """A message that the passing of time caused, and its id; told again it is the same one."""

    id: str
    subject: str
    message: str

    @classmethod
    def of(cls, outgoing: Outgoing) -> Told:
        message = outgoing.message
        return cls(id=outgoing.id, subject=message.subject, message=message.model_dump_json())

    def read(self) -> Message:
        """Raises Broken, or pydantic's ValidationError."""
        kind = {kind.subject: kind for kind in MESSAGES}.get(self.subject)
        if kind is None:
            raise Broken(f"a message on {self.subject}, which does not exist")
        return kind.model_validate_json(self.message)


class Manifest(BaseModel):
    """The snapshot that counts: all entries up to *position* are in it. *parts*: how many, by detector.

    A snapshot of another *schema_version* is refused: raise it when the way of storing changes.
    """

    schema_version: Literal[1] = 1
    slot: Slot
    position: Position
    latest: UtcDatetime | None = None  # time at which a message up to there was stored
    parts: dict[str, int]
    told: tuple[Told, ...] = ()

    def dump(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """Raises Broken."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as exc:
            raise Broken(reason(exc)) from exc


def other(slot: Slot | None) -> Slot:
    return "b" if slot == "a" else "a"


def key(slot: Slot, detector: str, part: int) -> str:
    return f"{slot}/{detector}/{part}"


def pieces(snapshot: Snapshot) -> Iterator[Snapshot]:
    """*snapshot*, in its order, in pieces of at most ``KEYS`` keys."""
    items = list(snapshot.items())
    for at in range(0, len(items), KEYS):
        yield dict(items[at : at + KEYS])


def line(piece: Snapshot) -> str:
    return json.dumps(piece, separators=(",", ":"))


def pack(lines: Sequence[str]) -> bytes:
    """One part. Compressing takes some milliseconds without the interpreter: do it in a thread."""
    return zlib.compress("\n".join(lines).encode(), 1)


def unpack(data: bytes) -> Mapping[str, JsonValue]:
    """The keys of one part; raises Broken."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, LARGEST).decode()
        if not unpacker.eof:
            raise Broken("a part that is cut off or too large")
        return {key: value for one in text.splitlines() for key, value in json.loads(one).items()}
    except (zlib.error, ValueError, AttributeError) as exc:
        raise Broken(f"a part that is damaged: {exc}") from exc
