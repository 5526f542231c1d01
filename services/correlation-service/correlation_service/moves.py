"""Members that belong to another incident from now on: the facts about both. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from aiops_core.models import Evidence, Message
from correlation_service.alerts import unpacked
from correlation_service.facts import FactBuilder
from correlation_service.overlay import Move, Overlay


def move_facts(overlay: Overlay, builder: FactBuilder) -> Iterator[Message]:
    """The incident that has members now says so before the one that had them: each of them is
    always somewhere."""
    holders = {move.holder for move in overlay.moves}
    homes = {holder: overlay.home_of(overlay.alert(holder)) for holder in holders}
    left = [move for move in overlay.moves if homes[move.holder] != move.origin]
    origins = list(dict.fromkeys(move.origin for move in left))
    into = {origin: _merge_target(origin, left, homes) for origin in origins}
    for home in dict.fromkeys(homes[move.holder] for move in left):
        coming = [move for move in left if homes[move.holder] == home]
        members = sorted((m for move in coming for m in _moved(move)), key=_when)
        if not overlay.incident(home).revision:
            yield builder.opened(home, members.pop(0))
        came = list(dict.fromkeys(move.origin for move in coming))
        gone = [o for o in origins if not overlay.incident(o).alerts and into[o] == home]
        yield from builder.moved_in(home, members, came, gone, coming[0].reason)
    for origin in origins:
        if overlay.incident(origin).alerts:
            leaving = [m for move in left if move.origin == origin for m in unpacked(move.members)]
            yield from builder.moved_out(origin, sorted(leaving, key=_when), into[origin])
        else:
            yield builder.merged(origin, into[origin])


def _merge_target(origin: str, moves: list[Move], homes: dict[str, str]) -> str:
    """The incident that has most of the members of *origin*."""
    shares: Counter[str] = Counter()
    for move in moves:
        if move.origin == origin:
            shares[homes[move.holder]] += len(move.members)
    return max(shares, key=lambda home: shares[home])


def _moved(move: Move) -> Iterator[Evidence]:
    alerts = tuple(dict.fromkeys((move.holder, move.alert)))
    for member in unpacked(move.members):
        yield member.but(reason=move.reason, moved_from=move.origin, alerts=alerts)


def _when(member: Evidence) -> tuple[datetime, str]:
    return member.ts, member.anomaly_id
