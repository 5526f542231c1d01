"""``/api/v3/problems``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from incident_api.guard import Actor
from incident_api.pages import PAGE, Cursor, Limit, Page
from incident_api.parameters import Api
from incident_api.problems import responses
from incident_api.recorder import ensure_recovered
from incident_api.recurrence.models import (
    EndingView,
    MergeProblem,
    OccurrenceView,
    ProblemView,
    SplitProblem,
    problem_place,
    views,
)
from incident_api.recurrence.store import ProblemFilter, ProblemSummary, occurrence_place
from incident_api.store import IncidentFilter

SHOWN = 20  # occurrences and incidents of one problem

router = APIRouter(prefix="/api/v3/problems", tags=["problems"], responses=responses(422, 503, 504))

Id = Annotated[
    str, Path(min_length=1, max_length=200, examples=["0b7c2d1e-5f3a-5c89-9d55-3f1f6f0a7f10"])
]


@router.get("", summary="List problems that came back, the last seen first")
async def list_problems(
    api: Api, where: Annotated[ProblemFilter, Depends()], after: Cursor, limit: Limit = PAGE
) -> Page[ProblemSummary]:
    """Problems that came once are listed with `times=1`. Problems of one spread are one entry;
    `spread=` its id lists them."""
    ensure_recovered(api.recorder)
    homes, least = api.recorder.edits.homes, api.spread.devices
    found = await api.problem_store.page(where, after, limit + 1, homes, least)
    return Page[ProblemSummary].of(found, limit, problem_place)


@router.get("/{problem_id}", summary="Show one problem", responses=responses(404))
async def show_problem(problem_id: Id, api: Api) -> ProblemView:
    """One that was merged into another is shown as that one. The id of a spread shows it whole."""
    return await _view(problem_id, api)


@router.get("/{problem_id}/occurrences", summary="All times it came", responses=responses(404))
async def list_occurrences(
    problem_id: Id, api: Api, after: Cursor, limit: Limit = PAGE
) -> Page[OccurrenceView]:
    """The newest first."""
    ensure_recovered(api.recorder)
    homes, problem = api.recorder.edits.homes, await api.problems.find(problem_id)
    found = await api.problem_store.occurrences(problem.id, after, limit + 1, homes)
    return Page[OccurrenceView].of(
        found, limit, occurrence_place, lambda one: OccurrenceView.of(one, problem.times)
    )


@router.post(
    "/{problem_id}/merge", summary="Merge into another problem", responses=responses(404, 409)
)
async def merge(problem_id: Id, body: MergeProblem, api: Api, actor: Actor) -> ProblemView:
    """The other has all occurrences, and those that come. It is the answer."""
    return await _view(await api.problems.merge(problem_id, body, actor), api)


@router.post("/{problem_id}/split", summary="Split an incident off", responses=responses(404, 409))
async def split(problem_id: Id, body: SplitProblem, api: Api, actor: Actor) -> ProblemView:
    """The incident, and what comes like it, is a problem of its own. It is the answer."""
    return await _view(await api.problems.split(problem_id, body, actor), api)


async def _view(problem_id: str, api: Api) -> ProblemView:
    ensure_recovered(api.recorder)
    homes, problem = api.recorder.edits.homes, await api.problems.show(problem_id)
    if problem.id == problem.spread:
        return await _spread_view(problem, api)
    occurrences = await api.problem_store.occurrences(problem.id, None, SHOWN, homes)
    endings = await api.problem_store.endings(problem.id, homes)
    incidents, _ = await api.reader.page(IncidentFilter(problem_id=problem.id), None, SHOWN)
    return ProblemView(
        **dict(problem),
        endings=[EndingView.of(one) for one in endings],
        occurrences=views(occurrences, problem.times),
        newest_incidents=list(incidents),
        parts=[],
    )


async def _spread_view(spread: ProblemSummary, api: Api) -> ProblemView:
    homes, least = api.recorder.edits.homes, api.spread.devices
    where = ProblemFilter(spread=spread.id)
    parts = await api.problem_store.page(where, None, SHOWN, homes, least)
    incidents, _ = await api.reader.page(IncidentFilter(spread=spread.id), None, SHOWN)
    return ProblemView(
        **dict(spread),
        endings=[],
        occurrences=[],
        newest_incidents=list(incidents),
        parts=list(parts),
    )
