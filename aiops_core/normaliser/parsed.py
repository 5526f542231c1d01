"""What a line says by itself, before it is known which ship, host and file it comes from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from aiops_core.models import Level
from aiops_core.normaliser.guards import Guarded


class Unreadable(ValueError):
    """The line is not of the format of its file; the text is the reason, for a person."""


NO_LABELS: Mapping[str, str] = MappingProxyType({})


class ParsedLine(NamedTuple):
    """A log line. None: the line does not say. *level* None: neither a field nor a word says."""

    msg: str
    level: Level | None = None
    ts: datetime | None = None
    host: str | None = None
    device_id: str | None = None
    service: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = NO_LABELS


PayloadReader = Callable[[ParsedLine, datetime], ParsedLine | None]


@dataclass(frozen=True)
class Payload:
    """A format within messages. *read* is tried where the message begins with one of the
    characters *starts* ("": any), or on lines of *services*, or that have one of *labels*.

    *begins* is a regular expression with which its messages begin, where a few characters tell;
    *guards* those of a reader of many formats, by the first character and whether it may be a date.
    """

    read: PayloadReader
    starts: str = ""
    services: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    begins: str | None = None
    guards: Callable[[str, bool], Sequence[Guarded[PayloadReader]]] | None = None
