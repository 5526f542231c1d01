"""Lines of one multiplexer or one file, in order → readings with their times.

A series (instrument and metric) gets at most one reading a second, whatever the rate of the sensor:
nothing on a ship's bridge changes faster, and a compass at 50 Hz must not fill the broker. Only in a
file that states no time at all every reading counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from aiops_cli.ingest.nmea import ais, sentence
from aiops_cli.ingest.nmea.clock import Clock
from aiops_cli.ingest.nmea.instruments import GPS, INSTRUMENTS
from aiops_cli.ingest.nmea.reading import NOTHING, Measured, only_finite
from aiops_cli.ingest.nmea.sentence import Fields, Sentence
from aiops_cli.ingest.nmea.track import Track
from aiops_cli.ingest.parsed import Reading, Readings, Unreadable

EVERY = timedelta(seconds=1)  # at least, between two readings of a series
SERIES_KEPT = 4096  # of which it is remembered when they were sent
TRACKS_KEPT = 256
AIS_KINDS = ("VDM", "VDO")
DATED = ("RMC", "ZDA")

Series = tuple[str, str]


class NmeaReader:
    """Reads lines of one source, which must come in their order.

    *live*: what a line says of time is not asked, it happens when it arrives. *head* are the first
    lines: what comes before the first date in them happened at that time.
    """

    name = "an NMEA sentence"

    def __init__(self, head: Iterable[str] = (), *, live: bool = False) -> None:
        self._live = live
        self._clock = Clock(None if live else _first_time(head))
        self._traffic = ais.Traffic()
        self._tracks: dict[str, Track] = {}
        self._sent: dict[Series, datetime] = {}

    def read(self, line: str, now: datetime) -> Readings:
        """What *line*, which arrived at *now*, measures; raises Unreadable."""
        said = sentence.read(line.strip())
        measure = self._ais if said.kind in AIS_KINDS else self._instrument
        at, measured = measure(said, now)
        device = said.source or f"{_service(measured, said)}-{said.talker.lower()}"
        found = only_finite([*measured.readings, *self._implied(device, measured, at or now)])
        return Readings(device, at, self._due(device, found, at) if at else found)

    def _instrument(self, said: Sentence, now: datetime) -> tuple[datetime | None, Measured]:
        instrument = INSTRUMENTS.get(said.kind)
        if instrument is None:
            return self._time(said, Fields(), now), NOTHING
        fields = sentence.fields(said)
        return self._time(said, fields, now), instrument(fields)

    def _ais(self, said: Sentence, now: datetime) -> tuple[datetime | None, Measured]:
        at = self._time(said, Fields(), now)
        if not ais.whole(said.text):
            return at, NOTHING  # names and voyages; their senders' positions count them
        fields = ais.decode(said.text)
        if said.kind == "VDO":
            return at, ais.own_ship(fields)
        mmsi = fields.get("mmsi")
        return at, self._traffic.hear(mmsi, at or now) if isinstance(mmsi, int) else NOTHING

    def _time(self, said: Sentence, fields: Fields, now: datetime) -> datetime | None:
        if self._live:
            return now
        if said.at:
            return self._clock.set(said.at)
        return self._clock.hear(_day(said, fields), fields.time)

    def _implied(self, device: str, measured: Measured, at: datetime) -> list[Reading]:
        if measured.position is None:
            return []
        if len(self._tracks) >= TRACKS_KEPT and device not in self._tracks:
            self._tracks.clear()
        track = self._tracks.setdefault(device, Track())
        speed = track.speed(measured.position, at)
        service = measured.readings[0].service
        return [] if speed is None else [Reading(service, "implied_speed_knots", speed, "kn")]

    def _due(self, device: str, found: Iterable[Reading], at: datetime) -> tuple[Reading, ...]:
        return tuple(r for r in found if self._take((device, r.metric), at))

    def _take(self, series: Series, at: datetime) -> bool:
        last = self._sent.get(series)
        if last and timedelta(0) <= at - last < EVERY:
            return False
        if len(self._sent) >= SERIES_KEPT:
            self._sent.clear()
        self._sent[series] = at
        return True


def _service(measured: Measured, said: Sentence) -> str:
    if said.kind in AIS_KINDS:
        return ais.AIS
    return measured.readings[0].service if measured.readings else GPS


def _day(said: Sentence, fields: Fields) -> date | None:
    """Without a fix the date may be the one that a receiver was made with."""
    void = said.kind == "RMC" and fields.word("status") == "V"
    return fields.date if said.kind in DATED and not void else None


def _first_time(head: Iterable[str]) -> datetime | None:
    for line in head:
        try:
            said = sentence.read(line.strip())
            if said.at:
                return said.at
            fields = sentence.fields(said) if said.kind in DATED else Fields()
        except Unreadable:
            continue
        if at := Clock().hear(_day(said, fields), fields.time):
            return at
    return None
