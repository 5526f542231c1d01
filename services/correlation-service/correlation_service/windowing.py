"""All open spots and episodes, indexed by what an anomaly may have in common with them. Pure.

Two clocks matter. *Event time* (``ts`` of the line) decides what belongs together, so that a replay of
old logs gives the incidents that they would have given then. *Arrival* (the newest stage time) decides
when an episode of old lines has been quiet long enough to be closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime, timedelta

from aiops_core.models import EnrichedAnomaly, Evidence
from correlation_service.episodes import Episode
from correlation_service.policy import CorrelatePolicy
from correlation_service.spots import KEYS_KEPT, Kind, Spot

Device = tuple[str, str]  # ship, device
STRAYS_COMPARED = 64


def arrival_of(message: EnrichedAnomaly | Evidence) -> datetime:
    """When a message last moved: its newest stage, or its own time when it carries none."""
    return max(message.stages.values(), default=message.ts)


class Index:
    """Spots by key, in the order in which they were filed."""

    def __init__(self) -> None:
        self._filed: defaultdict[Hashable, dict[Spot, None]] = defaultdict(dict)

    def __getitem__(self, key: Hashable) -> list[Spot]:
        return list(self._filed.get(key, ()))

    def add(self, key: Hashable, spot: Spot) -> None:
        self._filed[key][spot] = None

    def remove(self, key: Hashable, spot: Spot) -> None:
        filed = self._filed.get(key)
        if filed is not None:
            filed.pop(spot, None)
            if not filed:
                del self._filed[key]


class Windows:
    """What is open."""

    def __init__(self, policy: CorrelatePolicy) -> None:
        self._policy = policy
        self._episodes: dict[str, Episode] = {}
        self._kinds = Index()
        self._keyed = Index()
        self._on = Index()
        self._below = Index()
        self._strays = Index()
        self._blamed: dict[Device, Episode] = {}
        self.spots = 0  # how many are open

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(list(self._episodes.values()))

    def get(self, incident_id: str) -> Episode | None:
        return self._episodes.get(incident_id)

    def open(self, episode: Episode) -> None:
        self._episodes[episode.id] = episode

    def blame(self, episode: Episode, device: str) -> None:
        """Hold *device*, which says nothing, responsible for *episode*; with none, nobody any more."""
        self._blamed.pop((episode.ship_id, episode.blamed), None)
        episode.blamed = device
        if device:
            self._blamed[episode.ship_id, device] = episode

    def blaming(self, ship: str, device: str) -> Episode | None:
        """The open episode that blames *device*."""
        episode = self._blamed.get((ship, device))
        return episode if episode and episode.spots else None

    def calm_of(self, spot: Spot) -> timedelta:
        """How long it must stay well: longer when it flaps."""
        flapping = self._policy.flapping
        return flapping.calm if len(spot.swings) >= flapping.times else self._policy.calm

    # -- finding ----------------------------------------------------------------------------------

    def spots_at(self, kind: Kind, at: datetime) -> list[Spot]:
        """Those of *kind* that an anomaly of that time belongs to: two when it closes a gap."""
        near = [s for s in self._kinds[kind] if s.reaches(at, self.calm_of(s))]
        longest = self._policy.max_length
        return [spot for spot in near if spot.episode.fits(at, longest)]

    def of_kind(self, kind: Kind) -> list[Spot]:
        return self._kinds[kind]

    def sharing(self, key: str) -> list[Spot]:
        return self._keyed[key]

    def on(self, ship: str, device: str) -> list[Spot]:
        return self._on[ship, device]

    def below(self, ship: str, device: str) -> list[Spot]:
        """Spots on devices that depend on *device*."""
        return self._below[ship, device]

    def strays(self, ship: str) -> list[Spot]:
        """The newest spots with too little evidence to be believed."""
        return self._strays[ship][-STRAYS_COMPARED:]

    # -- filing -----------------------------------------------------------------------------------

    def file(self, spot: Spot) -> None:
        """Make a new *spot* findable."""
        ship, device, _ = spot.kind
        self._kinds.add(spot.kind, spot)
        self._on.add((ship, device), spot)
        for key in spot.keys:
            self._keyed.add(key, spot)
        for upper in spot.upstream:
            self._below.add((ship, upper), spot)
        if not spot.believed:
            self._strays.add(ship, spot)
        spot.episode.take(spot)
        self.spots += 1

    def believe(self, spot: Spot) -> None:
        """There is enough evidence of *spot* now."""
        self._strays.remove(spot.kind.ship, spot)

    def add_keys(self, spot: Spot, keys: Iterable[str]) -> bool:
        """Whether one of *keys* is new to *spot*, which is found under them from now on."""
        room = KEYS_KEPT - len(spot.keys)
        new = [key for key in keys if key not in spot.keys][: max(room, 0)]
        for key in new:
            spot.keys[key] = None
            self._keyed.add(key, spot)
        return bool(new)

    def move(self, spot: Spot, to: Episode) -> None:
        spot.episode.give(spot)
        to.take(spot)

    def remove(self, spot: Spot) -> None:
        ship, device, _ = spot.kind
        self._kinds.remove(spot.kind, spot)
        self._on.remove((ship, device), spot)
        for key in spot.keys:
            self._keyed.remove(key, spot)
        for upper in spot.upstream:
            self._below.remove((ship, upper), spot)
        self._strays.remove(ship, spot)
        spot.episode.give(spot)
        self.spots -= 1

    def close(self, episode: Episode) -> None:
        """Nothing joins *episode* any more."""
        self._episodes.pop(episode.id, None)
        self.blame(episode, "")
        for spot in list(episode.spots):
            self.remove(spot)
