"""``/api/v3/incidents``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from aiops_core.models import Evidence, TimelineEntry
from incident_api.guard import Actor
from incident_api.incidents.models import (
    Acknowledge,
    Comment,
    Edit,
    IncidentView,
    Merge,
    NewIncident,
    Reopen,
    Resolve,
    TransitionKind,
)
from incident_api.incidents.reader import event_place, member_place
from incident_api.pages import PAGE, Cursor, Limit, PartialPage
from incident_api.parameters import Api
from incident_api.problems import RequestBody, responses
from incident_api.rows import timeline_entry
from incident_api.store import IncidentFilter, IncidentSummary

router = APIRouter(
    prefix="/api/v3/incidents", tags=["incidents"], responses=responses(422, 503, 504)
)


Id = Annotated[
    str, Path(min_length=1, max_length=200, examples=["0b7c2d1e-5f3a-5c89-9d55-3f1f6f0a7f10"])
]
Changing = Callable[[TransitionKind, RequestBody], Awaitable[IncidentView]]


def _change(incident_id: Id, api: Api, actor: Actor) -> Changing:
    async def change(kind: TransitionKind, body: RequestBody) -> IncidentView:
        details = body.model_dump(exclude_none=True)
        return await api.reader.viewed(
            await api.incidents.change(incident_id, kind, actor, details)
        )

    return change


Change = Annotated[Changing, Depends(_change)]


@router.get("", summary="List incidents, newest first, or the longest quiet")
async def list_incidents(
    api: Api,
    where: Annotated[IncidentFilter, Depends()],
    after: Cursor,
    limit: Limit = PAGE,
) -> PartialPage[IncidentSummary]:
    """The newest is that which the platform found last (`created_at`). `first_seen`, `last_seen`,
    `since` and `until` are of the log lines: incidents of an old log are listed first after its
    replay, and are of then.
    """
    found, partial = await api.reader.page(where, after, limit + 1)
    return PartialPage[IncidentSummary].of(found, limit, where.place, partial=partial)


@router.post("", summary="Report an incident by hand", status_code=201)
async def create_incident(
    new: NewIncident, api: Api, actor: Actor, response: Response
) -> IncidentView:
    stored = await api.incidents.report(new, actor)
    response.headers["Location"] = f"{router.prefix}/{stored.incident.id}"
    return IncidentView.of(stored)


@router.get("/{incident_id}", summary="Show one incident", responses=responses(404))
async def show_incident(incident_id: Id, api: Api) -> IncidentView:
    return await api.reader.view(incident_id)


@router.patch("/{incident_id}", summary="Set assignee, severity or title", responses=responses(404))
async def edit_incident(change: Change, edit: Edit) -> IncidentView:
    return await change("edit", edit)


@router.post("/{incident_id}/ack", summary="Acknowledge", responses=responses(404, 409))
async def acknowledge(change: Change, body: Acknowledge | None = None) -> IncidentView:
    return await change("ack", body or Acknowledge())


@router.post("/{incident_id}/resolve", summary="Resolve", responses=responses(404, 409))
async def resolve(change: Change, body: Resolve | None = None) -> IncidentView:
    return await change("resolve", body or Resolve())


@router.post("/{incident_id}/reopen", summary="Reopen", responses=responses(404, 409))
async def reopen(change: Change, body: Reopen | None = None) -> IncidentView:
    return await change("reopen", body or Reopen())


@router.post("/{incident_id}/merge", summary="Merge into another", responses=responses(404, 409))
async def merge(incident_id: Id, api: Api, actor: Actor, body: Merge) -> IncidentView:
    """The incident is resolved. Its members, and anomalies that would join it, go to the other."""
    return await api.reader.viewed(
        await api.incidents.merge(incident_id, body.into, actor, body.comment)
    )


@router.post(
    "/{incident_id}/comments", summary="Comment", status_code=201, responses=responses(404)
)
async def comment(change: Change, body: Comment) -> IncidentView:
    return await change("comment", body)


@router.get("/{incident_id}/timeline", summary="All that happened", responses=responses(404))
async def timeline(
    incident_id: Id, api: Api, after: Cursor, limit: Limit = PAGE
) -> PartialPage[TimelineEntry]:
    """Every fact about the incident, oldest first."""
    rows, partial = await api.reader.timeline(incident_id, after, limit + 1)
    return PartialPage[TimelineEntry].of(rows, limit, event_place, timeline_entry, partial=partial)


@router.get("/{incident_id}/evidence", summary="All members", responses=responses(404))
async def evidence(
    incident_id: Id, api: Api, after: Cursor, limit: Limit = PAGE
) -> PartialPage[Evidence]:
    """Every anomaly that belongs to the incident, with the reason why, newest first."""
    members, partial = await api.reader.evidence(incident_id, after, limit + 1)
    return PartialPage[Evidence].of(members, limit, member_place, partial=partial)
