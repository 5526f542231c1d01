"""``/api/v3/ledger``."""

from __future__ import annotations

from fastapi import APIRouter

from incident_api.ledger.models import LedgerView
from incident_api.parameters import Api, Since, parse_since
from incident_api.problems import responses
from incident_api.recorder import ensure_recovered

router = APIRouter(prefix="/api/v3/ledger", tags=["ledger"], responses=responses(422, 503, 504))


@router.get("", summary="Where every anomaly ended")
async def ledger(api: Api, since: Since = "1h") -> LedgerView:
    """Every anomaly is a member of one incident, a duplicate of a member, suppressed by a rule,
    digested or a dead letter, exactly one of them. Those in none are `unaccounted`, those in two
    `doubled`: both must be 0.
    """
    ensure_recovered(api.recorder)
    return await api.auditor.ledger(parse_since(since, api.auditor.clock()))
