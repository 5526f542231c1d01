"""``/api/v3/ledger``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from aiops_core.policy.spans import span_of
from incident_api.ledger.auditor import Auditor
from incident_api.ledger.models import Ledger
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered
from incident_api.spans import LONGEST, parse_span

router = APIRouter(prefix="/api/v3/ledger", tags=["ledger"], responses=responses(422, 503, 504))

Since = Annotated[
    str,
    Query(
        description="A span up to now (15m, 1h, 24h, 7d), or a time with its zone.",
        examples=["1h", "2026-06-01T12:00:00Z"],
    ),
]


def parse_since(text: str, now: datetime) -> datetime:
    """The beginning that *text* tells; a Problem (422) when it tells none."""
    if span_of(text):
        return now - parse_span(text)
    moment = _moment(text)
    if moment is None or not now - LONGEST <= moment <= now:
        raise Problem(
            422,
            "query.since: expected a span like 1h or 7d, or a past time with its zone"
            " like 2026-06-01T12:00:00Z, at most 366 days back",
        )
    return moment


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


@router.get("", summary="Where every anomaly ended")
async def ledger(request: Request, since: Since = "1h") -> Ledger:
    """Every anomaly is a member of one incident, a duplicate of a member, suppressed by a rule or a
    dead letter, exactly one of them. What is in none is `unaccounted`, what is in two is `doubled`:
    both must be 0.
    """
    state = request.app.state
    ensure_recovered(state.recorder)
    auditor: Auditor = state.auditor
    return await auditor.ledger(parse_since(since, auditor.clock()))
