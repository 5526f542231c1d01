"""Members that another incident has from now on: what is told to both. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from aiops_core.models import Evidence, Message
from correlation_service.episodes import Episode
from correlation_service.facts import Teller
from correlation_service.placement import Move
from correlation_service.windowing import Windows

Open = Callable[[Episode, Evidence, Message], Message]


def tell_moves(
    moves: Sequence[Move], cause: Message, teller: Teller, open_: Open, windows: Windows
) -> Iterator[Message]:
    """Who has members now says so before who had them: each of them is always somewhere."""
    left = [move for move in moves if move.spot.episode is not move.origin]
    origins = list(dict.fromkeys(move.origin for move in left))
    into = {origin: _heir(origin, left) for origin in origins}
    for home in dict.fromkeys(move.spot.episode for move in left):
        coming = [move for move in left if move.spot.episode is home]
        members = [_moved(member, move) for move in coming for member in move.members]
        members.sort(key=_when)
        if not home.revision:
            yield open_(home, members.pop(0), cause)
        came = list(dict.fromkeys(move.origin.id for move in coming))
        gone = [origin.id for origin in origins if not origin.spots and into[origin] is home]
        yield from teller.moved_in(home, cause, members, came, gone, coming[0].reason)
    for origin in origins:
        if origin.spots:
            members = [m for move in left if move.origin is origin for m in move.members]
            members.sort(key=_when)
            yield from teller.moved_out(origin, cause, members, into[origin].id)
        else:
            windows.close(origin)
            yield teller.merged(origin, into[origin].id, cause)


def pass_on(gone: Episode, home: Episode, reason: str, windows: Windows) -> list[Move]:
    """Let *home* have all of *gone*, in which nothing is left: what there is to tell of it.

    Nothing when *gone* has more members than are kept: they stay where they were told, and only what
    comes later joins *home*.
    """
    moves = [Move(list(spot.members or ()), gone, spot, reason) for spot in gone.spots]
    told = moves if gone.movable else []
    for move in moves:
        windows.move(move.spot, home)
    return told


def _when(member: Evidence) -> tuple[datetime, str]:
    return member.ts, member.anomaly_id


def _heir(origin: Episode, moves: Sequence[Move]) -> Episode:
    """The incident that has most of what *origin* had."""
    shares: dict[Episode, int] = {}
    for move in moves:
        if move.origin is origin:
            shares[move.spot.episode] = shares.get(move.spot.episode, 0) + len(move.members)
    return max(shares, key=lambda episode: shares[episode])


def _moved(member: Evidence, move: Move) -> Evidence:
    return member.but(reason=move.reason, moved_from=move.origin.id, spots=(move.spot.id,))
