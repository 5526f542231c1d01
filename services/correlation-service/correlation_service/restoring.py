"""Folds published facts back into the state that they were told of. Pure."""

from __future__ import annotations

from collections.abc import Iterable

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
        for absorbed in fact.absorbed:
            self._absorb(absorbed, episode)
        return episode

    def _absorb(self, incident_id: str, into: Episode) -> None:
        if gone := self._windows.get(incident_id):
            self._windows.close(gone)
            self.owed[incident_id] = (gone, into.id)

    def _blame(self, episode: Episode, fact: IncidentUpdated) -> None:
        """A root without an anomaly is a device that says nothing."""
        if root := fact.root_cause:
            silent = root.device if root.device and root.anomaly is None else ""
            self._windows.blame(episode, silent)

    def _members(self, episode: Episode, members: Iterable[Evidence]) -> None:
        for member in members:
            if member.anomaly_id not in self._seen or not self._moved(episode, member):
                self._seen.add(member.anomaly_id)
                self._join(episode, member)

    def _moved(self, episode: Episode, member: Evidence) -> bool:
        """Whether *member* came with its spot from another episode, or is there already."""
        for spot in self._windows.of_kind(_kind(episode, member)):
            if spot.members is not None and spot.members.replace(member):
                if spot.episode is not episode:
                    self._windows.move(spot, episode)
                    self._unite(spot)
                return True
        return False

    def _unite(self, moved: Spot) -> None:
        """A late anomaly had closed the gap between two spots: that was why one of them moved."""
        for spot in self._windows.of_kind(moved.kind):
            if spot is not moved and spot.episode is moved.episode and spot.touches(moved):
                self._grouper.unite(spot, moved)
                return

    def _join(self, episode: Episode, member: Evidence) -> None:
        arrival = arrival_of(member)
        spot = self._spot(episode, member)
        if spot is None:
            spot = self._grouper.admit(member, episode, arrival)
        else:
            self._grouper.absorb(spot, member, arrival)
            self._windows.add_keys(spot, member.keys)
            if spot.believed:
                self._windows.believe(spot)
        spot.keep(member, self._policy.members_kept)

    def _spot(self, episode: Episode, member: Evidence) -> Spot | None:
        near = self._windows.spots_at(_kind(episode, member), member.ts)
        return next((spot for spot in near if spot.episode is episode), None)


def _kind(episode: Episode, member: Evidence) -> Kind:
    return Kind(episode.ship_id, member.device, member.anomaly_type)
