"""One open incident, as far as correlation needs to know it: the spots in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import islice

from aiops_core.models import Evidence, Severity
from correlation_service.spots import RANKED, Spot

# Whoever can send a line can invent hosts and peers, so what a fact says of an incident is bounded.
KEYS_TOLD = 50
NAMES_TOLD = 500  # devices, and services


@dataclass(slots=True, eq=False)
class Episode:
    """*revision* is 0 until its creation is told, *severity* what was told last; *blamed* is a device that
    is blamed although it says nothing."""

    id: str
    ship_id: str
    revision: int = 0
    severity: Severity = Severity.LOW
    blamed: str = ""
    spots: dict[Spot, None] = field(default_factory=dict)
    count: int = 0  # of the anomalies in all of them
    bounds: tuple[datetime, datetime] | None = None  # within which all of it was, and perhaps is

    @property
    def first_seen(self) -> datetime:
        return min(spot.first for spot in self.spots)

    @property
    def last_seen(self) -> datetime:
        return max(spot.last for spot in self.spots)

    @property
    def last_arrival(self) -> datetime:
        return max(spot.arrival for spot in self.spots)

    @property
    def movable(self) -> bool:
        return not any(spot.members is None for spot in self.spots)

    @property
    def recovered_at(self) -> datetime | None:
        """Since when all of it is well again; None while something is not."""
        return recovered_of(self.spots)

    @property
    def is_list(self) -> bool:
        """Whether it only keeps together what nothing connects."""
        return len(self.spots) > 1 and not any(spot.believed for spot in self.spots)

    @property
    def devices(self) -> tuple[str, ...]:
        """The first affected ones, in the order in which they were."""
        return _first(spot.kind.device for spot in self._in_order())

    @property
    def services(self) -> tuple[str, ...]:
        return _first(part.service for spot in self._in_order() for part in spot.parts)

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of the earliest spots."""
        first = nsmallest(KEYS_TOLD, self.spots, key=lambda spot: spot.place)
        return tuple(dict.fromkeys(key for spot in first for key in spot.keys))[:KEYS_TOLD]

    @property
    def swings(self) -> tuple[datetime, ...]:
        """The recoveries of what recovered most often."""
        return max((spot.swings for spot in self.spots), key=len, default=())

    def _in_order(self) -> list[Spot]:
        return sorted(self.spots, key=lambda spot: spot.place)

    def take(self, spot: Spot) -> None:
        spot.episode = self
        self.spots[spot] = None
        self.count += spot.count
        self.widen(spot.first, spot.last)

    def give(self, spot: Spot) -> None:
        del self.spots[spot]
        self.count -= spot.count

    def widen(self, first: datetime, last: datetime) -> None:
        """Know of something in it from *first* to *last*."""
        low, high = self.bounds or (first, last)
        self.bounds = (min(low, first), max(high, last))

    def fits(self, at: datetime, longest: timedelta) -> bool:
        """Whether it is no longer than *longest* with something at that time; looks at every spot only when
        the bounds, which may be too wide after something has moved away, leave it open."""
        if self.bounds and max(at, self.bounds[1]) - min(at, self.bounds[0]) <= longest:
            return True
        self.bounds = self.first_seen, self.last_seen
        return max(at, self.bounds[1]) - min(at, self.bounds[0]) <= longest

    def worst(self, escalate_devices: int) -> Severity:
        """The worst that is open, one step more when much is; low when all is well again, and of a mere
        list of single errors."""
        if self.is_list:
            return Severity.LOW
        bad = [(rank, spot) for spot in self.spots if (rank := spot.worst) >= 0]
        if not bad:
            return Severity.LOW
        rank = max(rank for rank, _ in bad)
        devices = {spot.kind.device for _, spot in bad if spot.believed}
        return RANKED[min(rank + (len(devices) >= escalate_devices), len(RANKED) - 1)]

    def firsts(self) -> dict[str, Evidence]:
        """The first anomaly of each affected device, rather one that means something."""
        firsts: dict[str, Spot] = {}
        for spot in self.spots:
            known = firsts.setdefault(spot.kind.device, spot)
            if (spot.doubtful, spot.place) < (known.doubtful, known.place):
                firsts[spot.kind.device] = spot
        in_order = sorted(firsts.values(), key=lambda spot: (spot.doubtful, spot.place))
        return {spot.kind.device: spot.head for spot in in_order}


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(names), NAMES_TOLD))


def recovered_of(spots: Iterable[Spot]) -> datetime | None:
    """Since when all of *spots* are well again; None while one is not."""
    times = [spot.recovered_at for spot in spots]
    known = [time for time in times if time]
    return max(known) if known and len(known) == len(times) else None
