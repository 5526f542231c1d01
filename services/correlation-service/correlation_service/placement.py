"""Where one anomaly was put, what was said of it, and what moved because of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiops_core.models import Evidence, Role
from correlation_service.episodes import Episode
from correlation_service.linking import WORDS
from correlation_service.spots import Spot

OPENED = "it opened the incident"
AGAIN = "the same problem again"
PARTED = "it is a problem of its own"


class Move(NamedTuple):
    """*members* were told as part of *origin*; *spot* has them now, wherever that is."""

    members: Sequence[Evidence]
    origin: Episode
    spot: Spot
    reason: str


@dataclass
class Placement:
    """Where *member* is now, and what moved because of it."""

    member: Evidence
    spot: Spot
    moves: list[Move] = field(default_factory=list)
    noted: set[Spot] = field(default_factory=set)
    repeats: bool = False  # it changes nothing of the incident but the count

    def note(self, spot: Spot, reason: str, holder: Spot | None = None) -> None:
        """*spot* may leave its episode, if that was told, and *holder* have its members; only the first
        time counts."""
        if spot.episode.revision and spot not in self.noted:
            members = list(spot.members or ())
            self.moves.append(Move(members, spot.episode, holder or spot, reason))
        self.noted.add(spot)


def placed(
    member: Evidence, reason: str, spots: tuple[str, ...], repeated: str | None = None
) -> Evidence:
    role = Role.DUPLICATE if repeated else Role.MEMBER
    return member.but(role=role, reason=reason, spots=spots, duplicate_of=repeated)


def shared_with(spot: Spot, member: Evidence) -> str:
    """What *member* has in common with its spot, the strongest first."""
    shared = next((key for key in member.keys if key in spot.keys), "")
    if not shared:
        return f"same device: {member.device}"
    _, word, value = shared.split("|", 2)
    return f"same {WORDS[word]}: {value}"
