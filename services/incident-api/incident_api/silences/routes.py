"""``/api/v3/silences``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from aiops_core.errors import Unavailable
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import Matcher, Silence, State
from incident_api.auth.actor import Actor
from incident_api.problems import Problem, responses
from incident_api.recorder import ensure_recovered
from incident_api.silences.models import (
    EditSilence,
    NewSilence,
    Preview,
    SilenceList,
    SilenceView,
)
from incident_api.silences.orders import never_hides
from incident_api.silences.preview import preview
from incident_api.silences.queries import Hidden, SilenceStore
from incident_api.silences.shelf import Shelf
from incident_api.spans import parse_span

router = APIRouter(prefix="/api/v3/silences", tags=["silences"], responses=responses(422, 503, 504))

Id = Annotated[str, Path(min_length=1, max_length=100, examples=["silence-5f3a9c01d2"])]


class Room:
    """What a request works with."""

    def __init__(self, request: Request) -> None:
        state = request.app.state
        self.shelf: Shelf = state.silences
        self.store: SilenceStore = state.hidden
        self.policy: SuppressPolicy = state.suppress
        self.clock: Callable[[], datetime] = state.clock
        self.request = request

    async def counts(self) -> Mapping[str, Hidden] | None:
        """What was hidden, by rule; None while ClickHouse is away: silencing goes on without."""
        with suppress(Unavailable):
            ensure_recovered(self.request.app.state.recorder)
            return {hidden.rule: hidden for hidden in await self.store.hidden()}
        return None

    def view(
        self, silence: Silence, counts: Mapping[str, Hidden] | None, now: datetime
    ) -> SilenceView:
        counted = (counts or {}).get(silence.id)
        return SilenceView(
            **silence.model_dump(exclude={"matchers"}),
            state=silence.state(now),
            matchers=[str(matcher) for matcher in silence.matchers],
            hidden=None if counts is None else counted.number if counted else 0,
            last_matched_at=counted.last_matched_at if counted else None,
            never_hides=list(never_hides(silence.matchers, self.policy.never_suppress)),
        )

    async def viewed(self, silence: Silence) -> SilenceView:
        return self.view(silence, await self.counts(), self.clock())


InRoom = Annotated[Room, Depends()]


@router.get("", summary="List silences, the next to end first")
async def list_silences(
    room: InRoom,
    state: Annotated[tuple[State, ...], Query(description="Any of these.")] = (),
    expiring_within: Annotated[
        str | None, Query(description="Active ones that end within this span.", examples=["1h"])
    ] = None,
) -> SilenceList:
    now = room.clock()
    found = [one for one in await room.shelf.all() if not state or one.state(now) in state]
    if expiring_within is not None:
        until = now + parse_span(expiring_within, "query.expiring_within")
        found = [one for one in found if one.state(now) == "active" and one.end <= until]
    counts = await room.counts()
    ordered = sorted(found, key=lambda one: (one.state(now) == "expired", one.end, one.id))
    return SilenceList(items=[room.view(one, counts, now) for one in ordered])


@router.post("", summary="Silence something until a time", status_code=201)
async def add_silence(
    new: NewSilence, room: InRoom, actor: Actor, response: Response
) -> SilenceView:
    silence = await room.shelf.add(new, actor)
    response.headers["Location"] = f"{router.prefix}/{silence.id}"
    return await room.viewed(silence)


@router.get("/preview", summary="What a silence would have hidden")
async def preview_silence(
    room: InRoom,
    matcher: Annotated[list[str], Query(min_length=1, max_length=20, examples=["device=sw-1"])],
    time_range: Annotated[str, Query(description="Span up to now.")] = "24h",
) -> Preview:
    """Counts the anomalies of the span, whatever became of them."""
    span = parse_span(time_range)
    try:
        matchers = [Matcher.parse(text) for text in matcher]
    except ValueError as exc:
        raise Problem(422, f"query.matcher: {_words(exc)}") from exc
    ensure_recovered(room.request.app.state.recorder)
    kinds = await room.store.kinds(room.clock() - span)
    return preview(time_range, matchers, kinds, room.policy)


@router.get("/{silence_id}", summary="Show one silence", responses=responses(404))
async def show_silence(silence_id: Id, room: InRoom) -> SilenceView:
    return await room.viewed(await room.shelf.get(silence_id))


@router.patch("/{silence_id}", summary="Extend or shorten it", responses=responses(404, 409))
async def edit_silence(
    silence_id: Id, edit: EditSilence, room: InRoom, actor: Actor
) -> SilenceView:
    return await room.viewed(await room.shelf.edit(silence_id, edit, actor))


@router.delete("/{silence_id}", summary="End it now", responses=responses(404))
async def end_silence(silence_id: Id, room: InRoom, actor: Actor) -> SilenceView:
    """It stays in the list as expired, with what it has hidden. Ending it twice changes nothing."""
    return await room.viewed(await room.shelf.end(silence_id, actor))


def _words(exc: ValueError) -> str:
    """The words of a ValueError, without what pydantic puts around them."""
    errors = getattr(exc, "errors", None)
    return "; ".join(str(error["msg"]) for error in errors()) if errors else str(exc)
