"""Times that no clock can mean: of one that was never set, is ahead, or lost GPS weeks. Pure.

Such a line is of its arrival, or of the time of the line beside it in its file; what it states
becomes the label ``STATED``. A clock that is behind is believed, as a file may simply be old.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from aiops_core.normaliser.context import DEVICES, NAME, SenderContext
from aiops_core.normaliser.continuations import time_of_neighbour
from aiops_core.normaliser.parsed import ParsedLine

STATED = "log.stated_time"

AHEAD = timedelta(minutes=5)  # by which clocks of one ship may differ
UNSET = datetime(1990, 1, 1, tzinfo=UTC)  # no log is older
# Where clocks begin that were never set: the epochs of GPS and of firmware, and their second cycle.
_BEGINNINGS = (
    *(datetime(1990, 1, 1, tzinfo=UTC), datetime(1993, 3, 1, tzinfo=UTC)),
    *(datetime(1999, 8, 22, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)),
    *(datetime(2000, 4, 1, tzinfo=UTC), datetime(2000, 4, 26, tzinfo=UTC)),
)
_DAYS_AFTER = timedelta(days=21)  # a device may run for long before somebody looks
_GPS_CYCLES = (timedelta(weeks=1024), timedelta(weeks=2048))
_GPS_TOLERANCE = timedelta(days=1)
# Without a year: the first minutes of a clock that begins on January 1, or March 1 (Cisco).
_BOOTING, _UNSYNCHRONISED = timedelta(hours=1), timedelta(days=10)
_RUNNING = timedelta(days=60)  # a clock that is known to be wrong is wrong until it leaps
_PAST = timedelta(days=2)  # a time that is less behind may be right
_ONE_PAST = timedelta(hours=36)
_STAR = re.compile(r"(?:^|[\s:>])\*[A-Z][a-z]{2} ")  # Cisco: not synchronised
_SEARCHED = 96  # characters in which a line states its time


def believed(line: ParsedLine, raw: str, now: datetime, context: SenderContext) -> ParsedLine:
    """*line*, which is written as *raw* and arrived at *now*, with a possible time only."""
    if line.ts is None:
        return line
    device = (line.device_id or line.host or "")[:NAME]
    if not _is_wrong(line.ts, raw[:_SEARCHED], device, now, context):
        context.clocks.pop(device, None)
        context.newest, context.newest_arrived = line.ts.timestamp(), now.timestamp()
        return line
    context.clocks.pop(device, None)
    context.clocks[device] = line.ts.timestamp()
    while len(context.clocks) > DEVICES:
        del context.clocks[next(iter(context.clocks))]
    labels = {**line.labels, STATED: line.ts.isoformat()}
    return line._replace(ts=time_of_neighbour(now, context), labels=labels)


def never_set(ts: datetime) -> bool:
    """Whether *ts*, of whatever device, can only come from a clock that was never set."""
    if ts.year > _BEGINNINGS[-1].year:
        return False
    return ts < UNSET or any(begin <= ts < begin + _DAYS_AFTER for begin in _BEGINNINGS)


def lost_weeks(ts: datetime, now: datetime) -> bool:
    """Whether *ts* is now but for one or two cycles of the week number of GPS."""
    behind = now - ts
    if behind < _GPS_CYCLES[0] - _GPS_TOLERANCE:  # nearly always
        return False
    return any(abs(behind - cycle) <= _GPS_TOLERANCE for cycle in _GPS_CYCLES)


def _is_wrong(
    ts: datetime, written: str, device: str, now: datetime, context: SenderContext
) -> bool:
    if ts > now + AHEAD:
        return True
    if ts > now - _PAST:  # nearly always
        return False
    if never_set(ts) or lost_weeks(ts, now):
        return True
    known = context.clocks.get(device)
    if known is not None and timedelta(0) <= ts - datetime.fromtimestamp(known, UTC) <= _RUNNING:
        return True
    return str(ts.year) not in written and _is_booting(ts, written, context)


def _is_booting(ts: datetime, written: str, context: SenderContext) -> bool:
    """Whether *ts*, without a year, is of the first minutes of a clock that begins then."""
    star = bool(_STAR.search(written))
    since = ts - ts.replace(month=_begin_of(ts), day=1, hour=0, minute=0, second=0, microsecond=0)
    if since > (_UNSYNCHRONISED if star else _BOOTING):
        return False
    if context.newest and abs(ts.timestamp() - context.newest) <= _ONE_PAST.total_seconds():
        return False  # its neighbours are of then
    return star or not context.one_past


def _begin_of(ts: datetime) -> int:
    """The month of the latest day on which a clock may begin."""
    return 3 if ts.month >= 3 else 1
