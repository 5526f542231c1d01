"""Where an anomaly belongs, and what its arrival changes for those that are there already. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from aiops_core.models import Evidence, derived_id
from correlation_service.episodes import Episode
from correlation_service.linking import Linker
from correlation_service.placement import AGAIN, OPENED, PARTED, Placement, placed, shared_with
from correlation_service.policy import CorrelatePolicy
from correlation_service.recovery import Recoveries, part_of
from correlation_service.silent import ChildrenOf, silent_parent, still_blamed
from correlation_service.spots import Kind, Spot
from correlation_service.windowing import Windows

SPOTS_TOGETHER = 1000  # of one incident: what is told of it takes a millisecond of each fact then
SHIPS_KEPT = 1000  # whose newest event time is remembered; a shore hub has some hundred


class Change(Enum):
    """What became of a spot: it is new; or it leads more than it did, by another key or because it is believed;
    or anything else.

    Of the first two nobody needs to know who is in one incident with it already: it can only be a better choice
    than the former. A believed spot follows none that is not, so it has left a list of single errors itself.
    """

    NEW = auto()
    MORE = auto()
    OTHER = auto()


class Grouper:
    def __init__(self, policy: CorrelatePolicy, windows: Windows, recoveries: Recoveries) -> None:
        self._policy, self._windows, self._recoveries = policy, windows, recoveries
        self.linker = Linker(policy, windows)
        self.children_of: ChildrenOf = _unknown
        self._newest: OrderedDict[str, datetime] = OrderedDict()

    def place(self, member: Evidence, ship: str, arrival: datetime) -> Placement:
        """Put *member* where it belongs and move what follows from that."""
        kind = Kind(ship, member.device, member.anomaly_type)
        found = self._windows.spots_at(kind, member.ts)
        if not found:
            return self._place_new(member, kind, arrival)
        spot = found[0] if len(found) == 1 else max(found, key=_standing)
        repeated = spot.fingerprints.get(member.fingerprint)
        reason = AGAIN if repeated else shared_with(spot, member)
        others = [s for s in found if s is not spot and s.members is not None]
        spots = (spot.id, *[other.id for other in others])
        placement = Placement(placed(member, reason, spots, repeated), spot)
        head, worst = spot.head, spot.worst
        if change := self._extend(placement, others, arrival):
            self._regroup(placement, change)
        elif spot.head is head:
            placement.repeats = spot.worst == worst or self._is_as_bad(spot.episode)
        if not spot.episode.revision:  # it has parted from the others
            placement.member = placed(member, OPENED, spots)
            spot.show(member.fingerprint, member.anomaly_id)
        return placement

    def _is_as_bad(self, episode: Episode) -> bool:
        """Whether *episode* is as severe as was told last."""
        return episode.worst(self._policy.escalate_devices) == episode.severity

    def admit(self, member: Evidence, episode: Episode, arrival: datetime) -> Spot:
        """A new spot for *member* in *episode*, which links nothing yet."""
        kind = Kind(episode.ship_id, member.device, member.anomaly_type)
        spot = Spot(
            id=member.spots[0] if member.spots else member.anomaly_id,
            kind=kind,
            rule=self._policy.grouping_of(kind.anomaly_type),
            family=self._policy.family_of(kind.anomaly_type),
            window=self._policy.window_of(kind.anomaly_type),
            head=member,
            last=member.ts,
            arrival=arrival,
            keys=dict.fromkeys(member.keys),
            episode=episode,
            upstream=member.upstream,
            swings=self._recoveries.before(kind, member.ts, self._policy.flapping.within),
        )
        self._windows.file(spot)
        self.absorb(spot, member, arrival)
        return spot

    def absorb(self, spot: Spot, member: Evidence, arrival: datetime) -> None:
        """Count *member* in; what it is about may have recovered already."""
        part = part_of(member)
        course = spot.absorb(member, arrival, part)
        spot.episode.count += 1
        spot.episode.widen(member.ts, member.ts)
        self._recoveries.apply(spot, part, course)
        self._see(spot.kind.ship, min(member.ts, arrival))

    def _see(self, ship: str, at: datetime) -> None:
        """Know how far the time of *ship* has come. A clock that is ahead does not make all others late."""
        self._newest[ship] = max(at, self._newest.get(ship, at))
        self._newest.move_to_end(ship)
        if len(self._newest) > SHIPS_KEPT:
            self._newest.popitem(last=False)

    def _place_new(self, member: Evidence, kind: Kind, arrival: datetime) -> Placement:
        episode = Episode(derived_id("incident", member.anomaly_id), kind.ship)
        spot = self.admit(member, episode, arrival)
        placement = Placement(member, spot)
        link = self.linker.best(spot)
        self._regroup(placement, Change.NEW)
        reason = OPENED
        if spot.episode is not episode:
            reason = link.reason(spot) if link else f"affected devices depend on {kind.device}"
        placement.member = placed(member, reason, (spot.id,))
        return placement

    def _extend(
        self, placement: Placement, others: Sequence[Spot], arrival: datetime
    ) -> Change | None:
        """Let the spot grow by the member, which closes the gaps to *others* of its kind; what that means to
        those that may follow it."""
        spot, member = placement.spot, placement.member
        place, believed, last = spot.place, spot.believed, spot.last
        late = member.ts < self._newest.get(spot.kind.ship, member.ts)
        self.absorb(spot, member, arrival)
        new_keys = self._windows.add_keys(spot, member.keys)
        for other in others:
            placement.note(spot, AGAIN)
            placement.note(other, AGAIN, holder=spot)
            self.unite(spot, other)
        if spot.believed:
            self._windows.believe(spot)
        if others or spot.place != place or (late and spot.last > last):
            return Change.OTHER
        return Change.MORE if new_keys or spot.believed != believed else None

    def unite(self, spot: Spot, other: Spot) -> None:
        """One spot instead of two."""
        self._windows.remove(other)
        spot.unite(other, self._policy.members_kept)
        spot.episode.count += other.count
        spot.episode.widen(spot.first, spot.last)
        self._windows.add_keys(spot, other.keys)
        if spot.believed:
            self._windows.believe(spot)

    def _regroup(self, placement: Placement, change: Change) -> None:
        """Let the changed spot and all that may follow it choose again whom they follow."""
        spot, may_part = placement.spot, change is not Change.NEW
        self._reconsider(placement, spot, may_part)
        for child in self.linker.neighbours(spot):
            if child.episode is not spot.episode or change is Change.OTHER:
                self._reconsider(placement, child, may_part)
        blamed = silent_parent(
            spot, self._windows, self.linker, self._policy.silent_parent, self.children_of
        )
        if blamed:
            self._blame(placement, blamed.device, blamed.roots)
        for episode in {spot.episode, *(move.origin for move in placement.moves)}:
            self._acquit(placement, episode)

    def _reconsider(self, placement: Placement, child: Spot, may_part: bool) -> None:
        link = self.linker.best(child)
        if link and link.parent.episode is not child.episode:
            branch = self.linker.subtree(child)
            self._move(placement, branch, link.parent.episode, link.reason(child))
        elif link is None and may_part and len(child.episode.spots) > 1:
            branch = self.linker.subtree(child)
            if len(branch) < len(child.episode.spots):
                cause = placement.member.anomaly_id
                alone = Episode(
                    derived_id("incident", child.head.anomaly_id, cause), child.kind.ship
                )
                self._move(placement, branch, alone, PARTED)

    def _move(
        self, placement: Placement, branch: Sequence[Spot], home: Episode, reason: str
    ) -> None:
        """Bring *branch* into *home*; when that makes one of two incidents, the greater remains."""
        origin = branch[0].episode
        whole = len(branch) == len(origin.spots)
        stays = any(spot.members is None for spot in branch)
        if whole and home.movable and (stays or _weight(origin) > _weight(home)):
            branch, origin, home = list(home.spots), home, origin
        elif stays:
            return
        if self._length(home, branch) > self._policy.max_length:
            return
        if len(home.spots) + len(branch) > SPOTS_TOGETHER:
            return  # what comes later is told as another incident
        for spot in branch:
            placement.note(spot, reason)
            self._windows.move(spot, home)

    def _length(self, home: Episode, branch: Sequence[Spot]) -> timedelta:
        spots = (*home.spots, *branch)
        return max(s.last for s in spots) - min(s.first for s in spots)

    def _acquit(self, placement: Placement, episode: Episode) -> None:
        """Blame nobody for what has been explained otherwise in the meantime."""
        device, ship = episode.blamed, episode.ship_id
        if not device or still_blamed(
            device,
            ship,
            self._windows,
            self.linker,
            self._policy.silent_parent,
            self.children_of,
        ):
            return
        self._windows.blame(episode, "")
        for spot in self._windows.below(ship, device):
            self._reconsider(placement, spot, may_part=True)

    def _blame(self, placement: Placement, device: str, roots: Sequence[Spot]) -> None:
        """Make one incident of what complains below *device*."""
        home = max((root.episode for root in roots), key=_weight)
        self._windows.blame(home, device)
        for root in roots:
            self._reconsider(placement, root, may_part=False)
        for spot in self._windows.below(placement.spot.kind.ship, device):
            self._reconsider(placement, spot, may_part=False)


def _standing(spot: Spot) -> tuple[bool, int, tuple[datetime, Kind]]:
    return spot.members is None, spot.count, spot.place


def _weight(episode: Episode) -> tuple[bool, int]:
    return episode.revision > 0, episode.count


def _unknown(device: str) -> Sequence[str]:
    """Without an inventory nobody knows what else needs a device."""
    return ()
