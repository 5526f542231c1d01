"""Parameters that several routes share: pages and spans of time.

A cursor is the position of the last entry of a page, so that new entries shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import Query

from aiops_core.utils import span_of
from incident_api.problems import Problem
from incident_api.store import PagePosition

PAGE = 50
LARGEST_PAGE = 500
LONGEST = timedelta(days=366)

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Entries of one page.")]
CursorText = Annotated[
    str | None, Query(description="`next_cursor` of the page before.", max_length=1000)
]


def encode_cursor(position: PagePosition) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> PagePosition | None:
    """The inverse of ``encode_cursor``; Problem 422 for any other text."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        at, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError) as exc:
        raise Problem(422, "query.cursor: not a cursor of this API") from exc
    if type(at) is not int or not 0 <= at < 1 << 63 or not isinstance(key, str):
        raise Problem(422, "query.cursor: not a cursor of this API")
    return PagePosition(at, key)


def next_cursor(ends: Sequence[PagePosition], *, more: bool) -> str | None:
    """The cursor after the page whose entries end at *ends*, None on the last page."""
    return encode_cursor(ends[-1]) if more and ends else None


def parse_span(text: str, name: str = "query.time_range") -> timedelta:
    """``15m``, ``1h``, ``7d`` as a span; Problem 422 about *name* for anything else."""
    span = span_of(text)
    if span is None or span > LONGEST:
        raise Problem(422, f"{name}: expected a span like 15m, 1h, 24h or 7d, up to 366d")
    return span
