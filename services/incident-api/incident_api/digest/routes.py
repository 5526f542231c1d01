"""``/api/v3/digest``."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated

from fastapi import APIRouter, Query

from incident_api.digest.models import DigestView
from incident_api.parameters import Api
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered

router = APIRouter(prefix="/api/v3/digest", tags=["digest"], responses=responses(422, 503, 504))
FIRST, LAST = date(1970, 1, 1), date(2099, 12, 31)  # that a column of times can hold


@router.get("", summary="What was found on a day and opened no incident")
async def digest(
    api: Api,
    day: Annotated[
        date | None, Query(description="In UTC; today by default.", examples=["2026-06-01"])
    ] = None,
    device: Annotated[str, Query(max_length=255, description="Only this device.")] = "",
) -> DigestView:
    """Errors that nobody can name and that are known on their device, and unusual lines, by device
    and message. `policies/detect.yaml` (`digest`) says which open an incident nevertheless.
    """
    ensure_recovered(api.recorder)
    day = day or api.clock().astimezone(UTC).date()
    if not FIRST <= day <= LAST:
        raise Problem(422, f"query.day: expected a day from {FIRST} to {LAST}")
    return await api.digest.of_day(day, device)
