"""Folds published facts back into the state that they were told of. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aiops_core.models import (
    AnomalySuppressed,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Status,
)
from correlation_service.deduplication import Seen
from correlation_service.episodes import Episode
from correlation_service.grouping import Grouper
from correlation_service.policy import CorrelatePolicy
from correlation_service.spots import Kind, Spot
from correlation_service.windowing import Windows, arrival_of


class Restorer:
    """*owed* are incidents whose members were told to have moved, but not yet that they are over."""

    def __init__(
        self, policy: CorrelatePolicy, windows: Windows, grouper: Grouper, seen: Seen
    ) -> None:
        self._policy, self._windows = policy, windows
        self._grouper, self._seen = grouper, seen
        self.owed: dict[str, tuple[Episode, str]] = {}

    def fold(self, fact: Message) -> Episode | None:
        """Facts come in their order; the episode that is open because of it."""
        match fact:
            case Incident() if fact.evidence:  # those made by hand have none and absorb nothing
                return self._opened(fact)
            case IncidentUpdated():
                return self._updated(fact)
            case IncidentCleared():
                self.owed.pop(fact.incident_id, None)
                self._end(fact.incident_id)
            case IncidentTransitioned(to_status=Status.RESOLVED):
                self._end(fact.incident_id)
            case AnomalySuppressed():
                self._seen.add(fact.anomaly_id)
        return None

    def _end(self, incident_id: str) -> None:
        if episode := self._windows.get(incident_id):
            self._windows.close(episode)

    def _opened(self, fact: Incident) -> Episode | None:
        if self._windows.get(fact.id):
            return None
        episode = Episode(fact.id, fact.ship_id, fact.revision, fact.severity)
        self._windows.open(episode)
        self._members(episode, fact.evidence)
        return episode

    def _updated(self, fact: IncidentUpdated) -> Episode | None:
        episode = self._windows.get(fact.incident_id)
        if episode is None or fact.revision <= episode.revision:
            for member in fact.members:
                self._seen.add(member.anomaly_id)
            return None
        episode.revision = fact.revision
        episode.severity = fact.severity or episode.severity
        self._members(episode, fact.members)
        self._blame(episode, fact)
        return episode

    def _blame(self, episode: Episode, fact: IncidentUpdated) -> None:
        """A root without an anomaly is a device that says nothing."""
        if root := fact.root_cause:
            silent = root.device if root.device and root.anomaly is None else ""
            self._windows.blame(episode, silent)

    def _members(self, episode: Episode, members: Sequence[Evidence]) -> None:
        """New ones join; those that are known came with their spots, of which some became one."""
        united: dict[Spot, str] = {}
        for member in members:
            spot = self._holder(episode, member)
            if spot is None:
                self._join(episode, member)
            elif member.spots in ((), (spot.id,)):
                self._move(spot, episode)
            else:
                united[spot] = member.spots[0]
        for spot, name in united.items():
            self._unite(spot, name, episode)
        for origin in dict.fromkeys(member.moved_from for member in members if member.moved_from):
            self._leave(origin, episode)

    def _holder(self, episode: Episode, member: Evidence) -> Spot | None:
        """The spot that has *member* already, and from now on knows what is told of it. One that has become
        too large to know its members came with the first of them."""
        if self._seen.add(member.anomaly_id):
            return None
        kind = _kind(episode, member)
        for spot in self._windows.of_kind(kind):
            if spot.members is not None and spot.members.replace(member):
                return spot
        return self._named(member.spots[0], kind, episode) if member.spots else None

    def _join(self, episode: Episode, member: Evidence) -> None:
        spot = self._spot(episode, member)
        if spot is None:
            spot = self._grouper.admit(member, episode, arrival_of(member))
            spot.keep(member, self._policy.members_kept)
        else:
            self._absorb(spot, member)
        for name in member.spots[1:]:
            other = self._named(name, spot.kind, episode)
            if other:
                self._grouper.unite(spot, other)

    def _absorb(self, spot: Spot, member: Evidence) -> None:
        self._grouper.absorb(spot, member, arrival_of(member))
        self._windows.add_keys(spot, member.keys)
        if spot.believed:
            self._windows.believe(spot)
        spot.keep(member, self._policy.members_kept)

    def _move(self, spot: Spot, episode: Episode) -> None:
        """With its first members; one that made it move was told there before."""
        if spot.episode is episode:
            return
        ahead = self._named(spot.id, spot.kind, episode)
        self._windows.move(spot, episode)
        if ahead:
            self._windows.remove(ahead)
            for member in ahead.members or ():
                self._absorb(spot, member)
                spot.show(member.fingerprint, member.duplicate_of or member.anomaly_id)

    def _unite(self, spot: Spot, name: str, episode: Episode) -> None:
        """A late anomaly had closed the gap between *spot* and the one of that *name*: so it moved."""
        if holder := self._named(name, spot.kind, episode):
            self._grouper.unite(holder, spot)
        else:
            spot.id = name
            self._move(spot, episode)

    def _leave(self, origin: str, home: Episode) -> None:
        """Members of *origin* are in *home* now; if they were the last, it is owed that it is over."""
        gone = self._windows.get(origin)
        if gone and not gone.spots:
            self._windows.close(gone)
            self.owed[origin] = (gone, home.id)

    def _spot(self, episode: Episode, member: Evidence) -> Spot | None:
        """The one that *member* names, as facts of former versions do not: there it is the nearest."""
        kind = _kind(episode, member)
        if member.spots:
            return self._named(member.spots[0], kind, episode)
        near = self._windows.spots_at(kind, member.ts)
        return next((spot for spot in near if spot.episode is episode), None)

    def _named(self, name: str, kind: Kind, episode: Episode) -> Spot | None:
        spots = self._windows.of_kind(kind)
        return next((spot for spot in spots if spot.id == name and spot.episode is episode), None)


def _kind(episode: Episode, member: Evidence) -> Kind:
    return Kind(episode.ship_id, member.device, member.anomaly_type)
