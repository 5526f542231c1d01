"""``/api/v3/incidents``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from incident_api import cursor
from incident_api.auth.actor import Actor
from incident_api.cursor import CursorText, Limit
from incident_api.folding import StoredIncident
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
from incident_api.incidents.transitions import Kind
from incident_api.problems import Problem, responses
from incident_api.recorder import Recorder, ensure_recovered
from incident_api.rows import micros, timeline_entry
from incident_api.store import IncidentFilter, IncidentStore, Position

TRACKING_IDS_SHOWN = 50_000

router = APIRouter(prefix="/api/v3/incidents", tags=["incidents"], responses=responses(422, 503))


def _store(request: Request) -> IncidentStore:
    ensure_recovered(request.app.state.recorder)
    store: IncidentStore = request.app.state.store
    return store


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _recorder(request: Request) -> Recorder:
    recorder: Recorder = request.app.state.recorder
    return recorder


Store = Annotated[IncidentStore, Depends(_store)]
AtDesk = Annotated[Desk, Depends(_desk)]
Records = Annotated[Recorder, Depends(_recorder)]
Id = Annotated[
    str, Path(min_length=1, max_length=200, examples=["0b7c2d1e-5f3a-5c89-9d55-3f1f6f0a7f10"])
]


@router.get("", summary="List incidents, newest first")
async def list_incidents(
    store: Store,
    where: Annotated[IncidentFilter, Depends(asked)],
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> IncidentPage:
    found = await store.page(where, cursor.decode(cursor_), limit + 1)
    ends = [Position(micros(incident.created_at), incident.id) for incident in found[:limit]]
    return IncidentPage(
        items=list(found[:limit]), next_cursor=cursor.following(ends, more=len(found) > limit)
    )


@router.post("", summary="Report an incident by hand", status_code=201)
async def create_incident(
    new: NewIncident, desk: AtDesk, actor: Actor, response: Response
) -> IncidentView:
    stored = await desk.report(new, actor)
    response.headers["Location"] = f"{router.prefix}/{stored.incident.id}"
    return IncidentView.of(stored)


@router.get("/{incident_id}", summary="Show one incident", responses=responses(404))
async def show_incident(incident_id: Id, store: Store, recorder: Records) -> IncidentView:
    stored = recorder.registry.known(incident_id) or await store.incident(incident_id)
    if stored is None:
        raise Problem(404, f"there is no incident {incident_id}")
    return await _view(stored, store)


@router.patch("/{incident_id}", summary="Set assignee, severity or title", responses=responses(404))
async def edit_incident(
    incident_id: Id, edit: Edit, desk: AtDesk, store: Store, actor: Actor
) -> IncidentView:
    return await _changed(desk, store, incident_id, "edit", actor, edit)


@router.post("/{incident_id}/ack", summary="Acknowledge", responses=responses(404, 409))
async def acknowledge(
    incident_id: Id, desk: AtDesk, store: Store, actor: Actor, body: Acknowledge | None = None
) -> IncidentView:
    return await _changed(desk, store, incident_id, "ack", actor, body or Acknowledge())


@router.post("/{incident_id}/resolve", summary="Resolve", responses=responses(404, 409))
async def resolve(
    incident_id: Id, desk: AtDesk, store: Store, actor: Actor, body: Resolve | None = None
) -> IncidentView:
    return await _changed(desk, store, incident_id, "resolve", actor, body or Resolve())


@router.post("/{incident_id}/reopen", summary="Reopen", responses=responses(404, 409))
async def reopen(
    incident_id: Id, desk: AtDesk, store: Store, actor: Actor, body: Reopen | None = None
) -> IncidentView:
    return await _changed(desk, store, incident_id, "reopen", actor, body or Reopen())


@router.post("/{incident_id}/merge", summary="Merge into another", responses=responses(404, 409))
async def merge(
    incident_id: Id, desk: AtDesk, store: Store, actor: Actor, body: Merge
) -> IncidentView:
    """The incident is resolved; its members, and what would have joined it, belong to the other."""
    return await _view(await desk.merge(incident_id, body.into, actor, body.comment), store)


@router.post(
    "/{incident_id}/comments", summary="Comment", status_code=201, responses=responses(404)
)
async def comment(
    incident_id: Id, desk: AtDesk, store: Store, actor: Actor, body: Comment
) -> IncidentView:
    return await _changed(desk, store, incident_id, "comment", actor, body)


@router.get("/{incident_id}/timeline", summary="All that happened", responses=responses(404))
async def timeline(
    incident_id: Id,
    store: Store,
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> TimelinePage:
    """Every fact about the incident, oldest first."""
    rows = await store.timeline(incident_id, cursor.decode(cursor_), limit + 1)
    await _exists(rows, incident_id, store)
    ends = [Position(row.ts, row.event_id) for row in rows[:limit]]
    return TimelinePage(
        items=[timeline_entry(row) for row in rows[:limit]],
        next_cursor=cursor.following(ends, more=len(rows) > limit),
    )


@router.get("/{incident_id}/evidence", summary="All members", responses=responses(404))
async def evidence(
    incident_id: Id,
    store: Store,
    limit: Limit = cursor.PAGE,
    cursor_: Annotated[CursorText, Query(alias="cursor")] = None,
) -> EvidencePage:
    """Every anomaly that belongs to the incident, with the reason why, newest first."""
    members = await store.evidence(incident_id, cursor.decode(cursor_), limit + 1)
    await _exists(members, incident_id, store)
    ends = [Position(micros(one.ts), one.anomaly_id) for one in members[:limit]]
    return EvidencePage(
        items=list(members[:limit]), next_cursor=cursor.following(ends, more=len(members) > limit)
    )


async def _changed(
    desk: Desk, store: IncidentStore, incident_id: str, kind: Kind, actor: str, body: BaseModel
) -> IncidentView:
    details = body.model_dump(exclude_none=True)
    stored = await desk.change(incident_id, kind, actor, details)
    return await _view(stored, store)


async def _view(stored: StoredIncident, store: IncidentStore) -> IncidentView:
    tracking_ids = await store.tracking_ids(stored.incident.id, TRACKING_IDS_SHOWN)
    return IncidentView.of(stored, tuple(tracking_ids))


async def _exists(found: Sequence[object], incident_id: str, store: IncidentStore) -> None:
    if not found and await store.incident(incident_id) is None:
        raise Problem(404, f"there is no incident {incident_id}")
