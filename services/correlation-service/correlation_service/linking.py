"""Why a spot belongs to another: by a key that they share, or because its device depends on the other's.

Every spot follows at most one other, the best by a rule that looks only at what the two tell. So spots
form trees, each tree is one incident, and the order in which anomalies arrive makes no difference. Two
faults stay two even where something depends on both. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from correlation_service.episodes import Episode
from correlation_service.policy import CorrelatePolicy, Grouping
from correlation_service.spots import Spot, earliest
from correlation_service.windowing import Windows

ZERO = timedelta(0)
# It began shortly before its symptom, long before, or after; it is dead; it is a stray like this one.
FRESH, OLDER, LATE, SILENT, STRAY = range(5)
NOTHING = "it stands alone, and is kept with other single errors"
KEYS_COMPARED = 64  # spots under one key; more of them are the same incident anyway


class Link(NamedTuple):
    """*cost* orders the candidates: class, then time or distance. *shared* is the key that both have,
    *blamed* the silent device on which both depend; both are empty when *child* depends on its parent."""

    cost: tuple[int, timedelta]
    parent: Spot
    shared: str = ""
    blamed: str = ""

    @property
    def rank(self) -> tuple[object, ...]:
        return (*self.cost, *self.parent.place)

    def reason(self, child: Spot) -> str:
        if self.cost[0] == STRAY:
            return NOTHING
        if self.shared:
            _, word, value = self.shared.split("|", 2)
            return f"same {WORDS[word]}: {value}"
        if self.blamed:
            return f"{child.kind.device} depends on {self.blamed}, which is probably down"
        return f"{child.kind.device} depends on {self.parent.kind.device}"


WORDS = {
    "peer": "peer",
    "service": "service",
    "device": "device",
    "attacked": "attacked device",
    "type": "type of anomaly",
}


class Linker:
    def __init__(self, policy: CorrelatePolicy, windows: Windows) -> None:
        self._policy, self._windows = policy, windows

    def best(self, child: Spot, inside: Episode | None = None) -> Link | None:
        """The spot that *child* follows; with *inside*, of those in that episode."""
        links = (*self._explaining(child), *self._strays(child))
        return min(
            (link for link in links if inside is None or link.parent.episode is inside),
            key=lambda link: link.rank,
            default=None,
        )

    def _explaining(self, child: Spot) -> Iterator[Link]:
        yield from self._shared(child)
        yield from self._upstream(child)
        yield from self._blamed(child)

    def subtree(self, top: Spot) -> list[Spot]:
        """*top* and what follows it, directly or not, within its episode."""
        episode = top.episode
        parents = {
            spot: link.parent if (link := self.best(spot, episode)) else None
            for spot in episode.spots
            if spot is not top
        }
        return [spot for spot in episode.spots if _leads_to(spot, top, parents)]

    def neighbours(self, spot: Spot) -> list[Spot]:
        """Spots that might follow *spot*, in their order."""
        ship, device, _ = spot.kind
        near = {s for key in spot.keys for s in self._windows.sharing(key)}
        near.update(self._windows.strays(ship))
        near.update(self._windows.below(ship, device))
        return sorted(near - {spot}, key=lambda s: s.place)

    def _shared(self, child: Spot) -> Iterator[Link]:
        for key in child.keys:
            for parent in self._windows.sharing(key)[:KEYS_COMPARED]:
                if parent.leads(child) and self._in_time(parent, child):
                    yield Link(self._cost(parent, child, 0), parent, key)

    def _upstream(self, child: Spot) -> Iterator[Link]:
        for distance, device in enumerate(child.upstream, start=1):
            for parent in self._windows.on(child.kind.ship, device):
                if not _explains(parent, child) or not self._in_time(parent, child):
                    continue
                cost = self._cost(parent, child, distance)
                if cost[0] == FRESH or (child.believed and not parent.doubtful):
                    yield Link(cost, parent)

    def _blamed(self, child: Spot) -> Iterator[Link]:
        """Silent devices above *child* that were blamed when it began, or shortly before."""
        if child.rule.follows != "any" or not child.believed:
            return
        for distance, device in enumerate(child.upstream, start=1):
            for parent in self._complaining(child.kind.ship, device):
                begins = child.first - parent.first >= -self._policy.lateness
                if parent is not child and begins and self._in_time(parent, child):
                    cost = distance * self._policy.propagation.per_hop
                    yield Link((SILENT, cost), parent, blamed=device)

    def _complaining(self, ship: str, device: str) -> list[Spot]:
        """The first to complain of those for which *device* is blamed."""
        episode = self._windows.blaming(ship, device)
        pointing = [spot for spot in episode.spots if spot.rule.points_up] if episode else []
        return [earliest(pointing)] if pointing else []

    def _strays(self, child: Spot) -> Iterator[Link]:
        """Single errors that nothing explains: one list of them instead of many incidents."""
        if child.believed:
            return
        for parent in self._windows.strays(child.kind.ship):
            if not parent.precedes(child) or not self._in_time(parent, child):
                continue
            if next(self._explaining(parent), None) is None:
                yield Link((STRAY, child.first - parent.first), parent)

    def _in_time(self, parent: Spot, child: Spot) -> bool:
        if parent.first - child.first > self._policy.propagation.cause_lag:
            return False
        if child.first > parent.until(self._windows.calm_of(parent)):
            return False
        spread = max(parent.last, child.last) - min(parent.first, child.first)
        return spread <= self._policy.max_length

    def _cost(self, parent: Spot, child: Spot, distance: int) -> tuple[int, timedelta]:
        """The nearer in time and graph, the better; like rather follows like."""
        rules, before = self._policy.propagation, child.first - parent.first
        far = distance * rules.per_hop
        if distance and parent.family == child.family:
            far -= rules.like
        if -self._policy.lateness <= before <= rules.usual:
            return FRESH, abs(before) + far
        if before > rules.usual:
            return OLDER, far
        return LATE, -before


def _leads_to(spot: Spot, top: Spot, parents: dict[Spot, Spot | None]) -> bool:
    current: Spot | None = spot
    for _ in range(len(parents) + 1):
        if current is None or current is top:
            break
        current = parents[current]
    return current is top


def _explains(parent: Spot, child: Spot) -> bool:
    """Whether *child*, downstream, may be a symptom of *parent*."""
    if not parent.believed or "none" in (parent.rule.spreads, child.rule.follows):
        return False
    return parent.family == child.family or _both_any(parent.rule, child.rule)


def _both_any(parent: Grouping, child: Grouping) -> bool:
    return parent.spreads == "any" and child.follows == "any"
