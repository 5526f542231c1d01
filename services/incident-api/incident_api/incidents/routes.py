"""``/api/v3/incidents``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from incident_api import cursor
from incident_api.auth.actor import Actor
from incident_api.cursor import CursorText, Limit
from incident_api.incidents.desk import Desk
from incident_api.incidents.models import (
    Acknowledge,
    Comment,
    Edit,
    EvidencePage,
    IncidentPage,
    IncidentView,
    Merge,
    NewIncident,
    Reopen,
    Resolve,
    TimelinePage,
)
from incident_api.incidents.query import asked
from incident_api.incidents.reading import Reading
from incident_api.incidents.transitions import Kind
from incident_api.problems import responses
from incident_api.rows import micros, timeline_entry
from incident_api.store import IncidentFilter, Position

router = APIRouter(
    prefix="/api/v3/incidents", tags=["incidents"], responses=responses(422, 503, 504)
)


def _reading(request: Request) -> Reading:
    return Reading(request.app.state.store, request.app.state.recorder)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


Reads = Annotated[Reading, Depends(_reading)]
AtDesk = Annotated[Desk, Depends(_desk)]
Id = Annotated[
    str, Path(min_length=1, max_length=200, examples=["0b7c2d1e-5f3a-5c89-9d55-3f1f6f0a7f10"])
]


@router.get("", summary="List incidents, newest first")
async def list_incidents(
    reads: Reads,
    where: Annotated[IncidentFilter, Depends(asked)],
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> IncidentPage:
    found, partial = await reads.page(where, cursor.decode(cursor_), limit + 1)
    ends = [Position(micros(incident.created_at), incident.id) for incident in found[:limit]]
    return IncidentPage(
        items=list(found[:limit]),
        next_cursor=cursor.following(ends, more=len(found) > limit),
        partial=partial,
    )


@router.post("", summary="Report an incident by hand", status_code=201)
async def create_incident(
    new: NewIncident, desk: AtDesk, actor: Actor, response: Response
) -> IncidentView:
    stored = await desk.report(new, actor)
    response.headers["Location"] = f"{router.prefix}/{stored.incident.id}"
    return IncidentView.of(stored)


@router.get("/{incident_id}", summary="Show one incident", responses=responses(404))
async def show_incident(incident_id: Id, reads: Reads) -> IncidentView:
    return await reads.view(incident_id)


@router.patch("/{incident_id}", summary="Set assignee, severity or title", responses=responses(404))
async def edit_incident(
    incident_id: Id, edit: Edit, desk: AtDesk, reads: Reads, actor: Actor
) -> IncidentView:
    return await _changed(desk, reads, incident_id, "edit", actor, edit)


@router.post("/{incident_id}/ack", summary="Acknowledge", responses=responses(404, 409))
async def acknowledge(
    incident_id: Id, desk: AtDesk, reads: Reads, actor: Actor, body: Acknowledge | None = None
) -> IncidentView:
    return await _changed(desk, reads, incident_id, "ack", actor, body or Acknowledge())


@router.post("/{incident_id}/resolve", summary="Resolve", responses=responses(404, 409))
async def resolve(
    incident_id: Id, desk: AtDesk, reads: Reads, actor: Actor, body: Resolve | None = None
) -> IncidentView:
    return await _changed(desk, reads, incident_id, "resolve", actor, body or Resolve())


@router.post("/{incident_id}/reopen", summary="Reopen", responses=responses(404, 409))
async def reopen(
    incident_id: Id, desk: AtDesk, reads: Reads, actor: Actor, body: Reopen | None = None
) -> IncidentView:
    return await _changed(desk, reads, incident_id, "reopen", actor, body or Reopen())


@router.post("/{incident_id}/merge", summary="Merge into another", responses=responses(404, 409))
async def merge(
    incident_id: Id, desk: AtDesk, reads: Reads, actor: Actor, body: Merge
) -> IncidentView:
    """The incident is resolved; its members, and what would have joined it, belong to the other."""
    return await reads.viewed(await desk.merge(incident_id, body.into, actor, body.comment))


@router.post(
    "/{incident_id}/comments", summary="Comment", status_code=201, responses=responses(404)
)
async def comment(
    incident_id: Id, desk: AtDesk, reads: Reads, actor: Actor, body: Comment
) -> IncidentView:
    return await _changed(desk, reads, incident_id, "comment", actor, body)


@router.get("/{incident_id}/timeline", summary="All that happened", responses=responses(404))
async def timeline(
    incident_id: Id,
    reads: Reads,
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> TimelinePage:
    """Every fact about the incident, oldest first."""
    rows, partial = await reads.timeline(incident_id, cursor.decode(cursor_), limit + 1)
    ends = [Position(row.ts, row.event_id) for row in rows[:limit]]
    return TimelinePage(
        items=[timeline_entry(row) for row in rows[:limit]],
        next_cursor=cursor.following(ends, more=len(rows) > limit),
        partial=partial,
    )


@router.get("/{incident_id}/evidence", summary="All members", responses=responses(404))
async def evidence(
    incident_id: Id,
    reads: Reads,
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> EvidencePage:
    """Every anomaly that belongs to the incident, with the reason why, newest first."""
    members, partial = await reads.evidence(incident_id, cursor.decode(cursor_), limit + 1)
    ends = [Position(micros(one.ts), one.anomaly_id) for one in members[:limit]]
    return EvidencePage(
        items=list(members[:limit]),
        next_cursor=cursor.following(ends, more=len(members) > limit),
        partial=partial,
    )


async def _changed(
    desk: Desk, reads: Reading, incident_id: str, kind: Kind, actor: str, body: BaseModel
) -> IncidentView:
    stored = await desk.change(incident_id, kind, actor, body.model_dump(exclude_none=True))
    return await reads.viewed(stored)
