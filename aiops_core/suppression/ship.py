"""The ship as operators declare it: its mode, maintenance windows, outages of its links. Pure.

The bucket ``ship`` has the keys ``mode``, ``maintenance.<id>`` and ``outage.<id>``. Every
question is about a moment: a late message is judged by what held when it happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from aiops_core.errors import in_words
from aiops_core.models import Record, ShipMode, Text, UtcDatetime

BUCKET = "ship"
MODE_KEY = "mode"
MAINTENANCE_PREFIX, OUTAGE_PREFIX = "maintenance.", "outage."
CHANGES_KEPT = 50  # changes of the mode, for late messages

R = TypeVar("R", bound=Record)
Pattern = Annotated[str, Field(min_length=1, max_length=255)]
Patterns = tuple[Pattern, ...]


class ModeChange(Record):
    """From *since* on the ship was in *mode*, as the user *by* says."""

    mode: ShipMode
    since: UtcDatetime
    by: str = ""
    reason: str = ""


class ModeLog(Record):
    """The last changes of the mode, newest last: the value of the key ``mode``."""

    changes: tuple[ModeChange, ...] = ()

    def at(self, moment: datetime) -> ModeChange | None:
        """The mode at *moment*; None before the first change that is kept."""
        return next((c for c in reversed(self.changes) if c.since <= moment), None)

    def then(self, change: ModeChange) -> ModeLog:
        """With *change*, which replaces all changes of its time and later."""
        earlier = [c for c in self.changes if c.since < change.since]
        return ModeLog(changes=(*earlier, change)[-CHANGES_KEPT:])


class Spell(Record):
    """A declaration that holds from *start* until just before *end*."""

    id: Text
    start: UtcDatetime
    end: UtcDatetime

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


class MaintenanceWindow(Spell):
    """Somebody works on devices and services: globs in any case, no glob means all.

    With *dependants* it also covers everything that needs one of the devices.
    """

    devices: Patterns = ()
    services: Patterns = ()
    dependants: bool = False
    owner: Text
    reason: Text

    def concerns(self, device: str, service: str, upstream: Sequence[str] = ()) -> bool:
        """Whether it covers *service* on *device*, which needs *upstream*, at any time."""
        return self.matches(device, upstream) and _any(self.services, service)

    def matches(self, device: str, upstream: Sequence[str] = ()) -> bool:
        """Whether it covers *device*, which needs *upstream*."""
        return _any(self.devices, *((device, *upstream) if self.dependants else (device,)))


class OutageKind(StrEnum):
    BLOCKED_SECTOR = "blocked_sector"  # mast, funnel or a fjord between antenna and satellite
    HANDOVER = "handover"  # from one satellite or network to the next
    QUOTA = "quota"  # the volume of the contract is used up
    PLANNED = "planned"  # announced by the provider or the yard


class LinkOutage(Spell):
    """A known outage of the link that *device_id* carries.

    *source* is who told of it.
    """

    device_id: Text
    kind: OutageKind
    reason: Text
    source: Text


class Ship(Record):
    """The whole bucket. *unreadable* has the keys of unreadable values, with the reasons."""

    mode: ModeLog = ModeLog()
    maintenance: tuple[MaintenanceWindow, ...] = ()
    outages: tuple[LinkOutage, ...] = ()
    unreadable: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, bucket: Mapping[str, bytes]) -> Ship:
        unreadable: dict[str, str] = {}

        def read(kind: type[R], prefix: str) -> Iterator[R]:
            for key in sorted(key for key in bucket if key.startswith(prefix)):
                try:
                    yield kind.model_validate_json(bucket[key])
                except ValidationError as exc:
                    unreadable[key] = in_words(exc)

        return cls(
            mode=next(read(ModeLog, MODE_KEY), ModeLog()),
            maintenance=tuple(read(MaintenanceWindow, MAINTENANCE_PREFIX)),
            outages=tuple(read(LinkOutage, OUTAGE_PREFIX)),
            unreadable=unreadable,
        )

    def mode_at(self, moment: datetime) -> ShipMode | None:
        change = self.mode.at(moment)
        return change.mode if change else None


def _any(patterns: Patterns, *names: str) -> bool:
    """Whether one of *names* fits one of *patterns*; no pattern fits all names."""
    folded = [name.casefold() for name in names]
    return not patterns or any(
        fnmatchcase(name, pattern.casefold()) for pattern in patterns for name in folded
    )
