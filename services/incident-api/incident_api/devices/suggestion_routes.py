"""``/api/v3/devices/suggestions``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from aiops_core.inventory.suggestions import EdgeStatus, Suggestion
from incident_api.devices.suggestion_models import (
    Acceptance,
    AcceptanceReport,
    Choice,
    NewSuggestions,
    RejectionReport,
    SuggestionPage,
    SuggestionReport,
    SuggestionView,
)
from incident_api.guard import Actor
from incident_api.pages import PAGE, Cursor, Limit
from incident_api.parameters import Api
from incident_api.problems import responses

router = APIRouter(
    prefix="/api/v3/devices/suggestions", tags=["devices"], responses=responses(422, 503, 504)
)


@router.get("", summary="List suggested dependencies, the surest first")
async def list_suggestions(
    api: Api,
    after: Cursor,
    status: EdgeStatus = "open",
    least: Annotated[float, Query(ge=0, le=1, description="Of at least this confidence.")] = 0.0,
    limit: Limit = PAGE,
) -> SuggestionPage:
    """What logs, files and failures say about the ship, and nobody has typed yet."""
    inventory = api.devices.inventory
    found = [
        one
        for one in await api.suggestions.edges()
        if one.status == status and one.confidence >= least
    ]
    found = sorted((one for one in found if not after or _place(one) > after), key=_place)
    is_first = after is None and status == "open"
    unknown = await api.suggestions.unknown_devices() if is_first else ()
    return SuggestionPage.of(
        found, limit, _place, lambda one: SuggestionView.of(one, inventory), devices=unknown
    )


@router.post("", summary="Suggest devices and dependencies, or try what would be new")
async def suggest(asked: NewSuggestions, api: Api, actor: Actor) -> SuggestionReport:
    """What contradicts the inventory, or was rejected before, is reported and not suggested."""
    return await api.suggestions.add(asked)


@router.post(
    "/accept", summary="Put suggested dependencies into the inventory", responses=responses(404)
)
async def accept(asked: Acceptance, api: Api, actor: Actor) -> AcceptanceReport:
    """Devices that are missing are created. Of several edges that make a circle the surest ones
    are accepted."""
    return await api.suggestions.accept(asked, actor)


@router.post("/reject", summary="Never suggest them again", responses=responses(404))
async def reject(asked: Choice, api: Api, actor: Actor) -> RejectionReport:
    return await api.suggestions.reject(asked, actor)


def _place(one: Suggestion) -> tuple[int, str]:
    return round((1 - one.confidence) * 1000), f"{one.device}\n{one.upstream}"
