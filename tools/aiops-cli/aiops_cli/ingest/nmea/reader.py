"""Lines of one multiplexer or one file, in order → readings with their times.

A receiver that has lost GPS weeks states a date 1,024 weeks in the past (the counter of GPS has ten
bits), or twice that. Such a date is corrected when something else says now: the arrival, a logger's
time or a tag block. The reading ``gps_date_error_days`` says how wrong a receiver's date is.

A series (instrument and metric) gets at most one reading a second, whatever the rate of the
sensor: nothing on a ship's bridge changes faster, and a compass at 50 Hz must not fill the broker.
In a file without any time every reading counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from aiops_cli.ingest.nmea import ais, sentence
from aiops_cli.ingest.nmea.instruments import GPS, INSTRUMENTS
from aiops_cli.ingest.nmea.measured import Measured, Track
from aiops_cli.ingest.nmea.sentence import Fields, Sentence
from aiops_cli.ingest.parsed import SensorReading, SensorReadings
from aiops_core.normaliser import times
from aiops_core.normaliser.parsed import Unreadable

EVERY = timedelta(seconds=1)  # at least, between two readings of a series
SERIES_KEPT = 4096  # series whose last reading is remembered
TRACKS_KEPT = 256
HALF_A_DAY = timedelta(hours=12)
ROLLOVER = timedelta(weeks=1024)  # of the week number that satellites send
NEAR = timedelta(days=1)
DAY = timedelta(days=1)
AIS_KINDS = ("VDM", "VDO")
DATED = ("RMC", "ZDA")


class NmeaReader:
    """Reads lines of one source, which must come in their order.

    *live*: a line happens when it arrives, whatever time it states. Otherwise *head* are the first
    lines; lines before the first date in them happened at that date.
    """

    def __init__(
        self, head: Iterable[str] = (), now: datetime | None = None, *, live: bool = False
    ) -> None:
        self._live = live
        self._clock = SentenceClock(None if live else _first_time(head, now))
        self.wrong_sums = 0  # sentences that were read in spite of their checksum
        self._corrected = False  # a date of a receiver, so far
        self._ships = ais.ShipsInSight()
        self._tracks: dict[str, Track] = {}
        self._sent: dict[tuple[str, str], datetime] = {}

    def read(self, line: str, now: datetime) -> SensorReadings:
        """The readings in *line*, which arrived at *now*; raises Unreadable."""
        said = sentence.read(line.strip())
        self.wrong_sums += said.wrong_sum
        instrument = INSTRUMENTS.get(said.kind)
        fields = sentence.fields(said) if instrument else Fields()
        error = self._date_error(said, fields, now)
        at = now if self._live else self._clock.time_of(said, fields, now)
        if said.kind in AIS_KINDS:
            measured = self._ais(said, at or now)
        else:
            measured = instrument(fields) if instrument else Measured(GPS)
        if error is not None:
            measured.add("gps_date_error_days", error, "d")
        name = said.source or f"{measured.service}-{said.talker.lower()}"
        if measured.position:
            speed = self._track(name).speed(measured.position, at or now)
            measured.add("implied_speed_knots", speed, "kn")
        found = [one for one in measured.readings if at is None or self._due(name, one, at)]
        return SensorReadings(name, at, tuple(found))

    def _date_error(self, said: Sentence, fields: Fields, now: datetime) -> float | None:
        """Days between the date that *said* states and the true one, where that is known."""
        day = _day(said, fields)
        if day is None or fields.time is None:
            return None
        stated = datetime.combine(day, fields.time, UTC)
        true = said.at or (now if self._live else None)
        if true is None:
            self._corrected |= corrected(stated, now) != stated
            true = corrected(stated, now) if self._corrected else None
        return None if true is None else float(round(abs(true - stated) / DAY))

    def _ais(self, said: Sentence, at: datetime) -> Measured:
        if not ais.is_whole(said.text):
            return Measured(ais.AIS)  # names and voyages; the positions of their senders count them
        fields = ais.decode(said.text)
        if said.kind == "VDO":
            return ais.own_ship(fields)
        mmsi = fields.get("mmsi")
        return self._ships.seen(mmsi, at) if isinstance(mmsi, int) else Measured(ais.AIS)

    def _track(self, name: str) -> Track:
        if len(self._tracks) >= TRACKS_KEPT and name not in self._tracks:
            self._tracks.clear()
        return self._tracks.setdefault(name, Track())

    def _due(self, name: str, reading: SensorReading, at: datetime) -> bool:
        series = (name, reading.metric)
        last = self._sent.get(series)
        if last and timedelta(0) <= at - last < EVERY:
            return False
        if len(self._sent) >= SERIES_KEPT:
            self._sent.clear()
        self._sent[series] = at
        return True


class SentenceClock:
    """The newest time so far. Most sentences state the time of day or none, some the date."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now

    def time_of(
        self, said: Sentence, fields: Fields, now: datetime | None = None
    ) -> datetime | None:
        """The time of *said*, which is read at *now*; None while no date is known."""
        day, clock = _day(said, fields), fields.time
        if said.at:
            self.now = said.at
        elif day and clock and (stated := times.in_range(datetime.combine(day, clock, UTC))):
            self.now = corrected(stated, now) if now else stated
        elif clock and self.now:
            self.now = _nearest(clock, self.now)
        return self.now


def corrected(stated: datetime, now: datetime) -> datetime:
    """*stated*, or *now*'s date of it when that is off by one or two rollovers of the GPS week."""
    for lost in (ROLLOVER, 2 * ROLLOVER):
        if abs(stated + lost - now) <= NEAR:
            return stated + lost
    return stated


def _nearest(clock: time, now: datetime) -> datetime:
    """*clock* on the day nearest to *now*: around midnight that may be the next or the last one."""
    near = datetime.combine(now.date(), clock, UTC)
    if near < now - HALF_A_DAY:
        return near + timedelta(days=1)
    return near - timedelta(days=1) if near > now + HALF_A_DAY else near


def _day(said: Sentence, fields: Fields) -> date | None:
    """The date of *said*. Without a fix it may be the date of a receiver's manufacture."""
    void = said.kind == "RMC" and fields.word("status") == "V"
    return fields.date if said.kind in DATED and not void else None


def _first_time(head: Iterable[str], now: datetime | None) -> datetime | None:
    for line in head:
        try:
            said = sentence.read(line.strip())
            dated = said.kind in DATED and not said.at
            fields = sentence.fields(said) if dated else Fields()
        except Unreadable:
            continue
        if at := SentenceClock().time_of(said, fields, now):
            return at
    return None
