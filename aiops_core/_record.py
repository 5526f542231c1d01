"""What every message and stored record is made of: immutable pydantic models, UTC times, ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self
from uuid import NAMESPACE_OID, uuid5

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

VERSION: Final = "3.3"  # of the messages that this release writes; a new field raises the minor
_READABLE = re.compile(r"3\.\d+")


def _as_ours(version: object) -> object:
    """Another minor version is read as ours, without the fields that we do not know."""
    if version == VERSION:
        return version
    if isinstance(version, str) and _READABLE.fullmatch(version):
        return VERSION
    raise ValueError(f"version {str(version)[:20]!r} is of another release, this one reads 3.x")


def _to_utc(time: datetime) -> datetime:
    """Every parsed time has a zone object of its own; times of one zone compare 20 times faster."""
    try:
        return time.astimezone(UTC)
    except OverflowError as exc:  # the first and the last day of the calendar
        raise ValueError("time has no equivalent in UTC") from exc


Version = Annotated[Literal["3.3"], BeforeValidator(_as_ours)]
UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1)]
LONGEST_NAME: Final = 255  # characters
Name = Annotated[str, Field(max_length=LONGEST_NAME)]  # of a host, device or service
Fraction = Annotated[float, Field(ge=0, le=1)]
Stages = dict[str, UtcDatetime]


def derived_id(*cause: str) -> str:
    """The same id for the same cause on every delivery."""
    return str(uuid5(NAMESPACE_OID, "\x1f".join(cause)))


class Record(BaseModel):
    """An immutable value. Unknown fields are dropped when it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of_valid(cls, base: Record | None = None, /, **fields: Any) -> Self:
        """Of the fields of *base* and *fields*, without validation, which takes two to seven times
        as long. For values that come from a record or were made here, never for input."""
        given = fields if base is None else vars(base) | fields
        return cls.model_construct(**given)  # type: ignore[return-value]  # pydantic's mypy plugin

    def but(self, **valid: Any) -> Self:
        """A copy with other values, which are not validated."""
        return self.model_copy(update=valid)


class OrderedEnum(StrEnum):
    """Ordered by declaration, so that ``max()`` is the worst."""

    @cached_property
    def rank(self) -> int:
        return type(self)._member_names_.index(self._name_)

    def _rank_of(self, other: str) -> int:
        kind = type(self)
        return other.rank if isinstance(other, kind) else kind(other).rank

    def __lt__(self, other: str) -> bool:
        return self.rank < self._rank_of(other)

    def __le__(self, other: str) -> bool:
        return self.rank <= self._rank_of(other)

    def __gt__(self, other: str) -> bool:
        return self.rank > self._rank_of(other)

    def __ge__(self, other: str) -> bool:
        return self.rank >= self._rank_of(other)
