"""``/api/v3/silences``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from aiops_core.errors import Unavailable
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import Matcher, Silence, State
from incident_api.guard import Actor
from incident_api.pages import ItemList
from incident_api.parameters import Api, parse_span
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered
from incident_api.silences.models import (
    EditSilence,
    NewSilence,
    Preview,
    SilenceView,
    never_hides,
    preview,
)
from incident_api.stats.models import HiddenByRule

router = APIRouter(prefix="/api/v3/silences", tags=["silences"], responses=responses(422, 503, 504))

Id = Annotated[str, Path(min_length=1, max_length=100, examples=["silence-5f3a9c01d2"])]


@router.get("", summary="List silences, the next to end first, expired ones last")
async def list_silences(
    api: Api,
    state: Annotated[tuple[State, ...], Query(description="Any of these.")] = (),
    expiring_within: Annotated[
        str | None, Query(description="Active ones that end within this span.", examples=["1h"])
    ] = None,
) -> ItemList[SilenceView]:
    now = api.clock()
    found = [one for one in await api.silences.all() if not state or one.state_at(now) in state]
    if expiring_within is not None:
        until = now + parse_span(expiring_within, "query.expiring_within")
        found = [one for one in found if one.holds(now) and one.ends_at <= until]
    ordered = sorted(found, key=lambda one: (one.state_at(now) == "expired", one.ends_at, one.id))
    return ItemList(items=await _views(ordered, api))


@router.post("", summary="Silence something until a time", status_code=201)
async def add_silence(new: NewSilence, api: Api, actor: Actor, response: Response) -> SilenceView:
    silence = await api.silences.add(new, actor)
    response.headers["Location"] = f"{router.prefix}/{silence.id}"
    return await _viewed(silence, api)


@router.get("/preview", summary="What a silence would have hidden")
async def preview_silence(
    api: Api,
    matcher: Annotated[list[str], Query(min_length=1, max_length=20, examples=["device_id=sw-1"])],
    time_range: Annotated[str, Query(description="Span up to now.")] = "24h",
) -> Preview:
    """Counts the anomalies of the span, whatever became of them."""
    since = api.clock() - parse_span(time_range)
    try:
        matchers = tuple(Matcher.parse(text) for text in matcher)
    except ValueError as exc:
        raise Problem(422, f"query.matcher: {exc}") from exc
    ensure_recovered(api.recorder)
    return preview(time_range, matchers, await api.stats.label_counts(since), api.suppress)


@router.get("/{silence_id}", summary="Show one silence", responses=responses(404))
async def show_silence(silence_id: Id, api: Api) -> SilenceView:
    return await _viewed(await api.silences.get(silence_id), api)


@router.patch("/{silence_id}", summary="Extend or shorten it", responses=responses(404, 409))
async def edit_silence(silence_id: Id, edit: EditSilence, api: Api, actor: Actor) -> SilenceView:
    return await _viewed(await api.silences.edit(silence_id, edit, actor), api)


@router.delete("/{silence_id}", summary="End it now", responses=responses(404))
async def end_silence(silence_id: Id, api: Api, actor: Actor) -> SilenceView:
    """It stays in the list as expired, with its count. Ending it twice changes nothing."""
    return await _viewed(await api.silences.end(silence_id, actor), api)


async def _viewed(silence: Silence, api: Api) -> SilenceView:
    [view] = await _views([silence], api)
    return view


async def _views(silences: Iterable[Silence], api: Api) -> list[SilenceView]:
    """Without counts while ClickHouse is away: silences can be set all the same."""
    counts, now = None, api.clock()
    with suppress(Unavailable):
        ensure_recovered(api.recorder)
        counts = await api.stats.hidden_by_rule()
    return [_view(silence, counts, api.suppress, now) for silence in silences]


def _view(
    silence: Silence,
    counts: Mapping[str, HiddenByRule] | None,
    policy: SuppressPolicy,
    now: datetime,
) -> SilenceView:
    counted = (counts or {}).get(silence.id)
    return SilenceView(
        **dict(silence),
        state=silence.state_at(now),
        hidden=None if counts is None else counted.number if counted else 0,
        last_matched_at=counted.last_matched_at if counted else None,
        never_hides=list(never_hides(silence.matchers, policy.never_suppress)),
    )
