"""One file as a stream of what became of each line; pure but for reading the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from aiops_cli.ingest.formats import Format, Reader, is_nmea, reader_for
from aiops_cli.ingest.parsed import Unreadable
from aiops_cli.ingest.reader import Blank, Line, Read, Refusal, read
from aiops_cli.ingest.stamp import Origin, Stamper
from aiops_core.models import LogEntry, MetricSample

Entry = LogEntry | MetricSample
Now = Callable[[], datetime]

LOOKED_AT = 50  # lines from which the format of a file is detected
DATE_WITHIN = 1000  # sentences of instruments in which the first date is looked for


@dataclass(frozen=True, slots=True)
class Accepted:
    """A line that became messages, usually one; *raw* is the line as it was."""

    entries: tuple[Entry, ...]
    raw: str


Outcome = Accepted | Refusal | Blank


def outcomes(
    path: Path, origin: Origin, now: Now, wanted: Format = Format.AUTO
) -> Iterator[Outcome]:
    """What becomes of each line of *path*, in order: a message, a refusal or nothing."""
    items = read(path)
    head = list(islice(items, LOOKED_AT))
    if is_nmea(_texts(head), wanted):
        head += islice(items, DATE_WITHIN)
    reader, stamper = reader_for(path.name, _texts(head), now(), wanted), Stamper(origin)
    for item in chain(head, items):
        yield _outcome(item, path, reader, stamper, now)


def _texts(items: Sequence[Read]) -> list[str]:
    return [item.text for item in items if isinstance(item, Line)]


def _outcome(item: Read, path: Path, reader: Reader, stamper: Stamper, now: Now) -> Outcome:
    if not isinstance(item, Line):
        return item
    at = now()
    try:
        entries = stamper.stamp(reader.read(item.text, at), at)
    except Unreadable as exc:
        return Refusal(str(path), item.number, str(exc))
    return Accepted(entries, item.text) if entries else Blank(item.number)
