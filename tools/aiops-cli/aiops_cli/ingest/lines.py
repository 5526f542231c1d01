"""The lines of one file → messages, refused lines or blank lines, in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from aiops_cli.ingest.files import BlankLine, RefusedLine, TextLine, read
from aiops_cli.ingest.formats import Content, Format, is_nmea, reader_for
from aiops_cli.ingest.parsed import SensorReadings
from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser.entries import fields_of
from aiops_core.normaliser.parsed import Unreadable
from aiops_core.utils import generate_tracking_id

IngestMessage = LogEntry | MetricSample
Now = Callable[[], datetime]

STAGE = "ingest"
DETECT_WITHIN = 50  # lines from which the format of a file is detected
DATE_WITHIN = 1000  # NMEA sentences in which the first date is looked for


@dataclass(frozen=True)
class LineOrigin:
    """Stands in for what a line does not say.

    *devices* maps names of instruments to ids of the inventory (``gps-gp``: a GPS receiver that
    signs its sentences with GP).
    """

    ship_id: str
    host: str
    service: str
    source: str
    devices: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, path: Path, ship_id: str, host: str, devices: Mapping[str, str] | None = None
    ) -> LineOrigin:
        return cls(ship_id, host, service_of(path), path.name, devices or {})


def service_of(path: Path) -> str:
    """The service that a log file's name suggests: ``nginx-error.log.1.gz`` is of nginx."""
    word = re.match(r"[A-Za-z]+", path.name)
    return word[0].lower() if word else "unknown"


@dataclass(frozen=True, slots=True)
class AcceptedLine:
    """A line that became messages, usually one. *raw* is the original line."""

    entries: tuple[IngestMessage, ...]
    raw: str


Outcome = AcceptedLine | RefusedLine | BlankLine


def outcomes(
    path: Path, origin: LineOrigin, now: Now, wanted: Format = Format.AUTO
) -> Iterator[Outcome]:
    """What becomes of each line of *path*."""
    lines = read(path)
    head = list(islice(lines, DETECT_WITHIN))
    texts = [line.text for line in head if isinstance(line, TextLine)]
    if is_nmea(texts, wanted):
        more = list(islice(lines, DATE_WITHIN))
        texts += [line.text for line in more if isinstance(line, TextLine)]
        head += more
    reader = reader_for(path.name, texts, now(), wanted)
    for line in chain(head, lines):
        if not isinstance(line, TextLine):
            yield line
            continue
        at = now()
        try:
            entries = messages_of(reader.read(line.text, at), origin, at)
        except Unreadable as exc:
            yield RefusedLine(str(path), line.number, str(exc))
            continue
        yield AcceptedLine(entries, line.text) if entries else BlankLine(line.number)


def messages_of(content: Content, origin: LineOrigin, now: datetime) -> tuple[IngestMessage, ...]:
    """*content* as messages that reached the platform at *now*.

    A message of the platform itself keeps its tracking id, its time and its ship.
    """
    if isinstance(content, LogEntry | MetricSample):
        return (content.stamped(STAGE, now),)
    if isinstance(content, SensorReadings):
        return tuple(
            MetricSample(
                tracking_id=generate_tracking_id(),
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
            tracking_id=generate_tracking_id(),
            ship_id=origin.ship_id,
            stages={STAGE: now},
            **fields,
        ),
    )
