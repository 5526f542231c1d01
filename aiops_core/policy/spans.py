"""Spans of time as people write them: ``15m``, ``24h``, ``7d``. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
PATTERN = re.compile(r"([1-9]\d{0,5})(s|m|min|h|d)")


def span_of(text: str) -> timedelta | None:
    """The span that *text* tells, None when it tells none."""
    found = PATTERN.fullmatch(text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
