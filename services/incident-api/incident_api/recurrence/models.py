"""Bodies of ``/api/v3/problems``, and which edits are allowed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from aiops_core.models import ProblemEdited, Severity, UtcDatetime, derived_id
from incident_api.incidents.models import Name, Prose
from incident_api.problem_homes import ProblemHomes
from incident_api.problems import Problem, RequestBody
from incident_api.recurrence.store import Ending, ProblemSummary, StoredOccurrence
from incident_api.rows import micros, moment
from incident_api.store import IncidentSummary

EDITS_MOST = 500  # a query names them all, and ClickHouse reads 256 KiB of it


class OccurrenceView(BaseModel):
    """One time that the problem came."""

    number: int = Field(description="Counted from the first that is known.")
    incident_id: str
    began: UtcDatetime
    ended: UtcDatetime | None = Field(description="Null while it lasts.")
    duration_s: float | None = Field(description="Null while it lasts.")
    severity: Severity
    devices: int = Field(description="How many were affected by then.")
    ending: str = Field(description="Empty when nobody said it.", examples=["recovered"])
    note: str

    @classmethod
    def of(cls, stored: StoredOccurrence, times: int) -> OccurrenceView:
        ended = stored.ended
        return cls(
            number=max(times + 1 - stored.place, 1),
            incident_id=stored.incident_id,
            began=moment(stored.began),
            ended=None if ended is None else moment(ended),
            duration_s=None if ended is None else (ended - stored.began) / 1e6,
            severity=stored.severity,
            devices=stored.devices,
            ending=stored.ending,
            note=stored.note,
        )


class EndingView(BaseModel):
    """A way in which it ended before."""

    ending: str = Field(examples=["modem replaced"])
    number: int
    last: UtcDatetime

    @classmethod
    def of(cls, ending: Ending) -> EndingView:
        return cls(ending=ending.ending, number=ending.number, last=moment(ending.last))


class ProblemView(ProblemSummary):
    """A problem with its newest occurrences and incidents."""

    endings: list[EndingView] = Field(description="What ended it before, the most frequent first.")
    occurrences: list[OccurrenceView] = Field(
        description="The newest, these first; all of them are at `/occurrences`."
    )
    newest_incidents: list[IncidentSummary]
    parts: list[ProblemSummary] = Field(
        description="Of a spread its newest problems; all of them are at `/problems?spread=`."
    )


class MergeProblem(RequestBody):
    """*into* is the problem that has all occurrences from now on."""

    into: Annotated[Name, Field(min_length=1, examples=["0b7c2d1e-5f3a-5c89-9d55-3f1f6f0a7f10"])]
    comment: Prose = ""


class SplitProblem(RequestBody):
    """*incident_id* and what comes like it become a problem of their own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"incident_id": "5b0c1f8e-0f3a-5c11-8a55-1d1f6f0a7f99"}]}
    )

    incident_id: Annotated[Name, Field(min_length=1)]
    comment: Prose = ""


def split_id(incident_id: str) -> str:
    """The id of the problem that begins with that incident, as correlation-service makes it."""
    return derived_id("problem", incident_id, "split")


def edit(
    problem: ProblemSummary,
    kind: Literal["merge", "split"],
    into: str,
    now: datetime,
    change: int,
    **fields: str,
) -> ProblemEdited:
    return ProblemEdited(
        tracking_id=problem.newest_incident,
        ship_id=problem.ship_id,
        ts=now,
        problem_id=problem.id,
        change=change,
        kind=kind,
        into=into,
        **fields,
    )


def check_whole(problem_id: str, homes: ProblemHomes) -> None:
    """Problem 409 for one that was merged into another: only that one can be."""
    if home := homes.merged.get(problem_id):
        raise Problem(409, f"problem {problem_id} is part of problem {home} now")


def check_merge(problem: ProblemSummary, into: ProblemSummary) -> None:
    """Problem 422 for a merge into itself, 409 into one of another ship."""
    if into.id == problem.id:
        raise Problem(422, "body.into: a problem cannot be merged into itself")
    if into.ship_id != problem.ship_id:
        raise Problem(409, f"problem {into.id} is of another ship, {into.ship_id}")


def check_split(problem: ProblemSummary, incident_id: str, homes: ProblemHomes, home: str) -> None:
    """*home* is the problem that the incident belongs to, empty for none. Problem 422 when that is
    another one, 409 when nothing would be left, or when the incident was split off before."""
    if home != problem.id:
        raise Problem(
            422, f"body.incident_id: {incident_id} is no incident of problem {problem.id}"
        )
    if problem.incidents < 2:
        raise Problem(409, f"problem {problem.id} has no other incident")
    if split_id(incident_id) in homes.edited or split_id(incident_id) in homes.merged:
        raise Problem(409, f"incident {incident_id} was split off before, and merged again")


def check_number(edits: int) -> None:
    if edits >= EDITS_MOST:
        raise Problem(409, f"{EDITS_MOST} edits of problems are in force; no more can be kept")


def problem_place(one: ProblemSummary) -> tuple[int, str]:
    return micros(one.last_seen), one.id


def views(stored: Sequence[StoredOccurrence], times: int) -> list[OccurrenceView]:
    return [OccurrenceView.of(one, times) for one in stored]
