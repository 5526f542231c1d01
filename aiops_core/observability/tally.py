"""How many anomalies detection has published in each minute, by their stage ``detect``.

They are counted where they are published. So the ledger misses also what a stream discarded unread.
Bucket ``tally``: one key an hour (``2026-06-01T12``), its value a JSON object from the minute
(``"07"``) to the count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import NonNegativeInt, TypeAdapter

from aiops_core.runtime.unreadable import skip

BUCKET = "tally"
KEPT = timedelta(days=8)  # a little longer than the streams, whose losses it shows
HOUR = "%Y-%m-%dT%H"
MINUTE = timedelta(minutes=1)

Tally = Counter[datetime]  # by the beginning of the minute, UTC
_COUNTS = TypeAdapter(dict[int, NonNegativeInt])


def minute_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def key_of(minute: datetime) -> str:
    return minute.strftime(HOUR)


def encode(tally: Mapping[datetime, int], keys: Iterable[str]) -> dict[str, bytes]:
    """The values of *keys* in the bucket."""
    hours: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for minute, count in sorted(tally.items()):
        hours[key_of(minute)][minute.minute] = count
    return {key: _COUNTS.dump_json(hours[key]) for key in keys}


def decode(values: Mapping[str, bytes]) -> Tally:
    """What the bucket says; hours that cannot be read are skipped."""
    tally: Tally = Counter()
    for key, value in values.items():
        try:
            hour = datetime.strptime(key, HOUR).replace(tzinfo=UTC)
            counts = _COUNTS.validate_json(value)
            if any(not 0 <= minute < 60 for minute in counts):
                raise ValueError("a minute is not between 0 and 59")
        except ValueError as exc:
            skip("tally", key, exc)
            continue
        tally |= {hour + minute * MINUTE: count for minute, count in counts.items()}
    return tally
