"""The lines of one file → messages, refused lines or blank lines, in order.

The tracking id of a message derives from what its line says and where it stands: the same file
sent twice gives the same ids, and what knows them refuses the second (decision 29). A line whose
time was shifted is another line than that of the log's own time: it has another id, the same at
each shift, however far.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, count
from pathlib import Path
from uuid import UUID, uuid5

from aiops_cli.ingest.files import (
    BlankLine,
    FileLine,
    Pause,
    RefusedLine,
    Stopped,
    TextLine,
    is_stdin,
    read,
)
from aiops_cli.ingest.formats import Content, Format, LineReader, TextReader, is_nmea, reader_for
from aiops_cli.ingest.parsed import SensorReadings
from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser.entries import fields_of
from aiops_core.normaliser.parsed import Unreadable
from aiops_core.utils import generate_tracking_id

IngestMessage = LogEntry | MetricSample
Now = Callable[[], datetime]
OnUnderstood = Callable[[str], None]  # gets a sentence about the format of a file, at its end

STAGE = "ingest"
UNSHIFTED = "log.original_time"  # label of a shifted line: the time that it states
DETECT_WITHIN = 64  # lines from which the format of a file is detected
DATE_WITHIN = 1000  # NMEA sentences in which the first date is looked for
_ROTATED = re.compile(r"(?:[.-]\d{1,8}|\.(?:gz|bz2|xz|zst))+$")
_LINES = UUID("0e6f4d7a-6d0c-5b52-9d35-2f6f6f1a7a11")  # the namespace of ids of lines


@dataclass(frozen=True)
class LineOrigin:
    """Stands in for what a line does not say.

    *devices* maps names of instruments to ids of the inventory (``gps-gp``: a GPS receiver that
    signs its sentences with GP). With *again* every line gets a new id. With *shift* all times that
    lines state are later by so much.
    """

    ship_id: str
    host: str
    service: str
    source: str
    devices: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    again: bool = False
    shift: timedelta | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        ship_id: str,
        host: str,
        devices: Mapping[str, str] | None = None,
        *,
        again: bool = False,
        shift: timedelta | None = None,
    ) -> LineOrigin:
        name = "stdin" if is_stdin(path) else path.name
        folder = str(path.absolute().parent)
        return cls(ship_id, host, service_of(path), name, devices or {}, folder, again, shift)


def service_of(path: Path) -> str:
    """The service that a log file's name suggests: ``nginx-error.log.1.gz`` is of nginx."""
    word = re.match(r"[A-Za-z]+", path.name)
    return word[0].lower() if word else "unknown"


@dataclass(frozen=True, slots=True)
class AcceptedLine:
    """A line that became messages, usually one. *raw* is the original line."""

    entries: tuple[IngestMessage, ...]
    raw: str


Outcome = AcceptedLine | RefusedLine | BlankLine | Pause


def outcomes(
    path: Path,
    origin: LineOrigin,
    now: Now,
    wanted: Format = Format.AUTO,
    *,
    follow: bool = False,
    stopped: Stopped = lambda: False,
    understood: OnUnderstood = lambda text: None,
) -> Iterator[Outcome]:
    """What becomes of each line of *path*; see ``files.read`` for *follow* and *stopped*."""
    lines = read(path, follow=follow, stopped=stopped)
    head = _head(lines, DETECT_WITHIN)
    if is_nmea(_texts(head), wanted):
        head += _head(lines, DATE_WITHIN)
    reader = reader_for(path.name, _texts(head), now(), wanted)
    try:
        yield from _read_with(reader, chain(head, lines), path, origin, now)
    finally:
        if isinstance(reader, TextReader):
            understood(f"{origin.source}: {reader.understood()}")


def _read_with(
    reader: LineReader, lines: Iterable[FileLine], path: Path, origin: LineOrigin, now: Now
) -> Iterator[Outcome]:
    for line in lines:
        if not isinstance(line, TextLine):
            yield line
            continue
        at = now()
        try:
            content = reader.read(line.text, at)
            entries = messages_of(content, origin, at, _ids(content, origin, line))
        except Unreadable as exc:
            yield RefusedLine(str(path), line.number, str(exc))
            continue
        if origin.shift is not None:
            entries = tuple(_shifted(entry, origin.shift) for entry in entries)
        yield AcceptedLine(entries, line.text) if entries else BlankLine(line.number)


def states_time(entry: IngestMessage) -> bool:
    """Whether the line of *entry* states a time; another one is of its arrival."""
    return entry.ts != entry.stages.get(STAGE)


def _shifted(entry: IngestMessage, shift: timedelta) -> IngestMessage:
    """*entry* later by *shift*, under another id; as it is when it states no time.

    Labels of a sample name its series, so only a log line keeps its own time as a label.
    """
    if not states_time(entry):
        return entry
    id_ = str(uuid5(_LINES, f"shifted\x1f{entry.tracking_id}"))
    later = entry.but(ts=entry.ts + shift, tracking_id=id_)
    if isinstance(later, LogEntry):
        return later.but(labels=later.labels | {UNSHIFTED: entry.ts.isoformat()})
    return later


def _head(lines: Iterator[FileLine], most: int) -> list[FileLine]:
    """The next lines, at most *most*, and none after a pause: the first line must not wait."""
    head: list[FileLine] = []
    for line in lines:
        head.append(line)
        if len(head) >= most or isinstance(line, Pause):
            break
    return head


def _texts(lines: list[FileLine]) -> list[str]:
    return [line.text for line in lines if isinstance(line, TextLine)]


def _ids(content: Content, origin: LineOrigin, line: TextLine) -> Iterator[str]:
    """The ids of the messages in *line*: from ship, host, file, time, place in the file and text.

    The name of a file counts without what rotation adds to it. Its folder counts only for a line
    that states no time: two of those are more easily alike than one of them is sent twice.
    """
    if origin.again:
        while True:
            yield generate_tracking_id()
    stated = content.ts.isoformat() if content.ts else ""
    host = getattr(content, "host", None) or origin.host
    file = f"{'' if stated else origin.folder}/{_ROTATED.sub('', origin.source)}"
    parts = (origin.ship_id, host, file, stated, str(line.number), line.text)
    base = uuid5(_LINES, "\x1f".join(parts))
    yield str(base)
    for n in count(1):
        yield str(uuid5(base, str(n)))


def messages_of(
    content: Content, origin: LineOrigin, now: datetime, ids: Iterator[str] | None = None
) -> tuple[IngestMessage, ...]:
    """*content* as messages that reached the platform at *now*, with *ids* or new ones.

    A message of the platform itself keeps its tracking id, its time and its ship.
    """
    if isinstance(content, LogEntry | MetricSample):
        return (content.stamped(STAGE, now),)
    ids = ids or iter(generate_tracking_id, None)
    if isinstance(content, SensorReadings):
        return tuple(
            MetricSample(
                tracking_id=next(ids),
                ship_id=origin.ship_id,
                ts=content.ts or now,
                stages={STAGE: now},
                host=origin.host,
                device_id=origin.devices.get(content.instrument, content.instrument),
                service=reading.service,
                metric=reading.metric,
                value=reading.value,
                unit=reading.unit,
            )
            for reading in content.readings
        )
    fields = fields_of(content, now, host=origin.host, service=origin.service, source=origin.source)
    return (
        LogEntry(
            tracking_id=next(ids),
            ship_id=origin.ship_id,
            stages={STAGE: now},
            **fields,
        ),
    )
