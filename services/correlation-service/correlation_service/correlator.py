"""From an anomaly to the facts that it causes. Pure, and the heart of the service.

Every anomaly causes one fact of its own: it opens an incident, joins one, or is suppressed by a rule
that is named. It may cause more when it connects what seemed to be two: their members move. The published
facts *are* the state: ``restore`` folds them back, so that what was published before a kill is known
after it, and an anomaly that is delivered again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyCleared,
    EnrichedAnomaly,
    Evidence,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
)
from correlation_service.closing import Closing
from correlation_service.deduplication import Seen
from correlation_service.endings import Endings
from correlation_service.episodes import Episode
from correlation_service.facts import Teller
from correlation_service.grouping import Grouper
from correlation_service.members import Members
from correlation_service.moves import pass_on, tell_moves
from correlation_service.placement import Move, Placement
from correlation_service.policy import CorrelatePolicy
from correlation_service.recovery import Recoveries
from correlation_service.restoring import Restorer
from correlation_service.suppression import Suppression
from correlation_service.windowing import Windows, arrival_of
from correlation_service.wording import words

UPSTREAM_KEPT = 64  # devices that a member is known to depend on, nearest first


class Correlator:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self.policy = policy
        self.windows = Windows(policy)
        self.seen = Seen()
        self.suppression = Suppression(policy)
        recoveries = Recoveries()
        self._grouper = Grouper(policy, self.windows, recoveries)
        self._endings = Endings(self.windows, recoveries, self._device, policy.flapping.within)
        self._closing = Closing(policy, self.windows)
        self._restorer = Restorer(policy, self.windows, self._grouper, self.seen)
        self._members = Members(policy)
        self._teller = Teller(policy)
        self._inventory = Inventory()

    def use(self, inventory: Inventory) -> None:
        """Know the devices of the ship from now on."""
        self._inventory = inventory
        self._grouper.children_of = inventory.children_of
        self.suppression.outages.upstream_of = inventory.upstream_of

    def handle(self, anomaly: EnrichedAnomaly) -> Sequence[Message]:
        """The facts that *anomaly* causes, its own first; none when it has been told before."""
        self._endings.restored()
        anomaly_id = anomaly.anomaly_id
        if not self.seen.add(anomaly_id):
            return []
        if hidden := self.suppression.decide(anomaly):
            return [hidden.fact(anomaly)]
        member = self._members.of(anomaly, anomaly_id, self._upstream(anomaly))
        facts = self._group(anomaly, member)
        self.suppression.learn(*facts)
        return facts

    def recover(self, cleared: AnomalyCleared) -> Sequence[Message]:
        """What becomes of the incidents in which *cleared* ends something."""
        self._endings.restored()
        self.suppression.learn(cleared)
        device = self._device(cleared)
        ended = self._endings.end(cleared)
        facts: list[Message] = []
        for episode, types in ended.items():
            over = ", ".join(words(anomaly_type) for anomaly_type in types)
            reason = f"{over} on {device} is over: {cleared.reason}"
            facts.append(self._teller.updated(episode, cleared, reason=reason))
            self._closing.watch(episode)
        return facts

    def expire(self, now: datetime) -> Iterator[IncidentCleared]:
        """Close what is over. Silence is not recovery, and the reason says so."""
        self._endings.restored()
        for incident_id, (gone, into) in list(self._restorer.owed.items()):
            del self._restorer.owed[incident_id]
            self.suppression.forget(incident_id)
            yield self._teller.merged(gone, into, _moment(gone, now, incident_id))
        for end in self._closing.over(now):
            cause = _moment(end.episode, now, end.episode.id)
            yield self._teller.closed(end.episode, end.why, end.note, cause)
            self.end(end.episode.id)

    def merge(self, change: IncidentTransitioned) -> Sequence[Message]:
        """An operator lets another incident go on for one: that one has its members from now on."""
        self._endings.restored()
        home, moves = self._pass_on(change)
        if home is None:
            return []
        facts = list(tell_moves(moves, change, self._teller, self._open, self.windows))
        facts = facts or [self._teller.updated(home, change, reason=_merged(change))]
        self._closing.watch(home)
        self.suppression.learn(*facts)
        return facts

    def _pass_on(self, change: IncidentTransitioned) -> tuple[Episode | None, Sequence[Move]]:
        """Who goes on, None when one of the two is not open here; and what moved to it."""
        gone = self.windows.get(change.incident_id)
        home = self.windows.get(change.merged_into or "")
        moves = pass_on(gone, home, _merged(change), self.windows) if gone and home else []
        self.end(change.incident_id)
        return (home if gone else None), moves

    def end(self, incident_id: str) -> None:
        """An operator has closed the incident: it never absorbs again, and explains nothing any more."""
        self.suppression.forget(incident_id)
        if episode := self.windows.get(incident_id):
            self.windows.close(episode)

    def restore(self, fact: Message) -> None:
        """Fold a fact that was published before this process began. Facts come in their order; a recovery
        may stand before the facts of what it ended, and then waits for the one that tells of it."""
        self.suppression.learn(fact)
        if isinstance(fact, IncidentTransitioned) and fact.kind == "merge":
            self._restore_merge(fact)
        elif isinstance(fact, AnomalyCleared):
            self._endings.restore(fact)
        else:
            self._fold(fact)

    def _fold(self, fact: Message) -> None:
        if isinstance(fact, IncidentUpdated):
            for episode in self._endings.told_by(fact):
                self._closing.watch(episode)
        if folded := self._restorer.fold(fact):
            self._closing.watch(folded)

    def _restore_merge(self, change: IncidentTransitioned) -> None:
        """The facts of the move follow, or the order itself comes again; else nobody tells of it."""
        gone, home = (
            self.windows.get(change.incident_id),
            self.windows.get(change.merged_into or ""),
        )
        if not (gone and home and gone.movable):
            self._pass_on(change)

    def _upstream(self, anomaly: EnrichedAnomaly) -> tuple[str, ...]:
        upstream = self._inventory.upstream_of(anomaly.device) or tuple(
            device.id for device in anomaly.context.upstream
        )
        return upstream[:UPSTREAM_KEPT]

    def _group(self, anomaly: EnrichedAnomaly, member: Evidence) -> list[Message]:
        placement = self._grouper.place(member, anomaly.ship_id, arrival_of(anomaly))
        facts = [self._told(anomaly, placement)]
        if placement.moves:
            facts += tell_moves(placement.moves, anomaly, self._teller, self._open, self.windows)
        placement.spot.keep(placement.member, self.policy.members_kept)
        return facts

    def _told(self, anomaly: EnrichedAnomaly, placement: Placement) -> Message:
        member, episode = placement.member, placement.spot.episode
        if placement.repeats:
            return self._teller.repeated(episode, anomaly, member)
        if episode.revision:
            return self._teller.updated(episode, anomaly, [member], member.reason)
        return self._open(episode, member, anomaly)

    def _open(self, episode: Episode, member: Evidence, cause: Message) -> Message:
        self.windows.open(episode)
        self._closing.watch(episode)
        return self._teller.opened(episode, member, cause)

    def _device(self, cleared: AnomalyCleared) -> str:
        known = self._inventory.resolve(cleared.device_id, cleared.host)
        return known or cleared.device


def _moment(episode: Episode, now: datetime, incident_id: str) -> Message:
    """The passing of time as a cause."""
    return Message(tracking_id=incident_id, ship_id=episode.ship_id, ts=now)


def _merged(change: IncidentTransitioned) -> str:
    return f"{change.actor} merged incident {change.incident_id} into it"
