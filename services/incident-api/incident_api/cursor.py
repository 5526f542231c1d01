"""Pages: an opaque cursor is the position of the last entry, so that new entries shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from incident_api.problems import Problem
from incident_api.store import Position

PAGE = 50
LARGEST_PAGE = 500

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Entries of one page.")]
CursorText = Annotated[
    str | None, Query(description="`next_cursor` of the page before.", max_length=1000)
]


def encode(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode(cursor: str | None) -> Position | None:
    """The position that *cursor* stands for; a Problem (422) when it is none of ours."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        at, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError) as exc:
        raise Problem(422, "query.cursor: not a cursor of this API") from exc
    if type(at) is not int or not 0 <= at < 1 << 63 or not isinstance(key, str):
        raise Problem(422, "query.cursor: not a cursor of this API")
    return Position(at, key)


def following(ends: Sequence[Position], *, more: bool) -> str | None:
    """The cursor after the page whose entries end at *ends*, None when nothing follows."""
    return encode(ends[-1]) if more and ends else None
