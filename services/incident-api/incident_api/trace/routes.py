"""``/api/v3/trace``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from incident_api.parameters import Api
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered
from incident_api.trace.models import Trace, assemble, principal

router = APIRouter(prefix="/api/v3/trace", tags=["trace"])

Id = Annotated[
    str, Path(min_length=1, max_length=200, examples=["6f9c1f5e-8f0f-4f53-9c57-7a54b1a2c0de"])
]


@router.get(
    "/{tracking_id}", summary="The way of one line", responses=responses(404, 422, 503, 504)
)
async def trace(tracking_id: Id, api: Api) -> Trace:
    """Each stage of the fast path with its time, and the line, anomaly and incident themselves.

    `not_anomalous`: the line was read and nothing was wrong with it. `suppressed`: a rule hid it.
    `digested`: it opened no incident and is counted in the daily digest, see `/api/v3/digest`.
    """
    ensure_recovered(api.recorder)
    traced = await api.traces.traced(tracking_id)
    member = principal(traced)[1]
    incident_id = member.incident_id if member else ""
    stored = await api.reader.find(incident_id) if incident_id else None
    found = assemble(tracking_id, traced, stored, api.clock())
    if found is None:
        raise Problem(404, f"nothing is known under tracking id {tracking_id}")
    return found
