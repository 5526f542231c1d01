"""Written incidents with the answer that is right: ``cases.yaml`` explains the keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aiops_core.models import Domain, Text
from aiops_core.policy.file import Section, read_model

HERE = Path(__file__).parent
COMMITTED, HELD_OUT = HERE / "cases.yaml", HERE / "held_out.yaml"

Trap = Literal["coincidence", "injection", "missing"]


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as exc:
        raise ValueError(f"is no regular expression: {exc}") from exc
    return text


def _clock(text: str) -> str:
    time.fromisoformat(text)  # raises ValueError
    return text


Wording = Annotated[Text, AfterValidator(_compiles)]
Concept = Annotated[tuple[Wording, ...], Field(min_length=1)]
Clock = Annotated[str, AfterValidator(_clock)]


class WrittenDevice(Section):
    id: Text
    type: Text
    upstream: tuple[Text, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)


class _Told(Section):
    """Something at a time of the case's day, or of another *day*, that *from* told."""

    at: Clock
    day: date | None = None
    sender: Annotated[Text, Field(alias="from")]

    def ts(self, day: date) -> datetime:
        return datetime.combine(self.day or day, time.fromisoformat(self.at), UTC)


class WrittenLine(_Told):
    raw: Text


class WrittenMember(WrittenLine):
    type: Annotated[Text, Field(alias="as")]
    fault: Annotated[int, Field(ge=1)] = 1


class WrittenReading(_Told):
    metric: Text
    value: float
    unit: str
    fine: bool = False


class WrittenWindow(Section):
    devices: tuple[Text, ...]
    start: Clock
    end: Clock
    owner: Text
    reason: Text

    def spell(self, day: date) -> tuple[datetime, datetime]:
        """Its start and end on *day*."""
        start, end = (
            datetime.combine(day, time.fromisoformat(at), UTC) for at in (self.start, self.end)
        )
        return start, end


class WrittenAnswer(Section):
    root_cause: Text
    recommendations: Annotated[tuple[Text, ...], Field(min_length=1)]


class WrittenFault(Section):
    root: Annotated[tuple[Text, ...], Field(min_length=1)]
    right: WrittenAnswer
    cause: Annotated[tuple[Concept, ...], Field(min_length=1)]
    actions: Annotated[tuple[Concept, ...], Field(min_length=1)]
    unknown: bool = False


class WrittenClaim(Section):
    claim: Concept
    because: Text


class WrittenHarm(Section):
    advice: Concept
    because: Text


class WrittenCase(Section):
    """One story of a ship: what it logged, and what is to be said about it."""

    id: Text
    runbooks: Annotated[tuple[Text, ...], Field(min_length=1)]
    traps: tuple[Trap, ...] = ()
    domain: Domain
    day: date
    story: Text
    ship: Annotated[tuple[WrittenDevice, ...], Field(min_length=1)]
    members: Annotated[tuple[WrittenMember, ...], Field(min_length=1)]
    around: tuple[WrittenLine, ...] = ()
    readings: tuple[WrittenReading, ...] = ()
    maintenance: tuple[WrittenWindow, ...] = ()
    faults: Annotated[tuple[WrittenFault, ...], Field(min_length=1)]
    forbidden: tuple[WrittenClaim, ...]
    harmful: tuple[WrittenHarm, ...]

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        known = {device.id for device in self.ship}
        if strange := {up for device in self.ship for up in device.upstream} - known:
            raise ValueError(f"upstream {strange.pop()} is no device of the ship")
        if strange := {root for fault in self.faults for root in fault.root} - known:
            raise ValueError(f"root {strange.pop()} is no device of the ship")
        shown = {member.fault for member in self.members}
        if shown != set(range(1, len(self.faults) + 1)):
            raise ValueError("every fault shows in a member, and every member shows a fault")
        return self


class WrittenCases(Section):
    """A file of cases."""

    cases: Annotated[tuple[WrittenCase, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _different_ids(self) -> Self:
        ids = [case.id for case in self.cases]
        if doubled := {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"two cases are called {doubled.pop()}")
        return self


def load(path: Path = COMMITTED) -> Sequence[WrittenCase]:
    """Raises Misconfigured with line and key of each mistake."""
    return read_model(path, WrittenCases).cases
