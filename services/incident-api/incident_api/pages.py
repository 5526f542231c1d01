"""Lists and pages of them. A cursor is the position of the last entry of a page, so that new
entries shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, Self, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from incident_api.problems import Problem

T = TypeVar("T")
R = TypeVar("R")

PAGE = 50
LARGEST_PAGE = 500

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Entries of one page.")]
CursorText = Annotated[
    str | None, Query(description="`next_cursor` of the page before.", max_length=1000)
]


Partial = Annotated[
    str | None, Field(description="Why the answer may lack something; null when it is whole.")
]


class PagePosition(NamedTuple):
    """Where a page ended: the sort time in microseconds, and the id to order equal times."""

    at: int
    id: str


def encode_cursor(position: PagePosition) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: CursorText = None) -> PagePosition | None:
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


Cursor = Annotated[PagePosition | None, Depends(decode_cursor)]


class ItemList(BaseModel, Generic[T]):
    items: list[T]


class Page(ItemList[T], Generic[T]):
    next_cursor: str | None = Field(description="Where the next page starts; null on the last.")

    @classmethod
    def of(
        cls,
        found: Sequence[R],
        limit: int,
        place: Callable[[R], tuple[int, str]],
        show: Callable[[R], Any] = lambda entry: entry,
        **more: object,
    ) -> Self:
        """The first *limit* of *found*, of which *place* is the position, as *show* has them."""
        cursor = None
        if len(found) > limit:
            cursor = encode_cursor(PagePosition(*place(found[limit - 1])))
        return cls(items=[show(one) for one in found[:limit]], next_cursor=cursor, **more)


class PartialPage(Page[T], Generic[T]):
    partial: Partial = None
