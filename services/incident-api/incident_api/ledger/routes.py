"""``/api/v3/ledger``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from aiops_core.utils import span_of
from incident_api.components import Api
from incident_api.ledger.models import LedgerView
from incident_api.parameters import LONGEST, parse_span
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered

router = APIRouter(prefix="/api/v3/ledger", tags=["ledger"], responses=responses(422, 503, 504))

Since = Annotated[
    str,
    Query(
        description="A span up to now (15m, 1h, 24h, 7d), or a time with its zone.",
        examples=["1h", "2026-06-01T12:00:00Z"],
    ),
]


def parse_since(text: str, now: datetime) -> datetime:
    """The beginning of the ledger; Problem 422 for neither a span nor a past time."""
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
async def ledger(api: Api, since: Since = "1h") -> LedgerView:
    """Every anomaly is a member of one incident, a duplicate of a member, suppressed by a rule or a
    dead letter, exactly one of them. Those in none are `unaccounted`, those in two `doubled`:
    both must be 0.
    """
    ensure_recovered(api.recorder)
    return await api.auditor.ledger(parse_since(since, api.auditor.clock()))
