"""From episodes to the facts that are published about them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiops_core.fingerprints import compute_suppress_key
from aiops_core.models import (
    EnrichedAnomaly,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentUpdated,
    Message,
    TimelineEntry,
)
from correlation_service.episodes import Episode
from correlation_service.policy import CorrelatePolicy
from correlation_service.topology import root_cause
from correlation_service.wording import description, title

JOINED = 100  # members of one fact: even of long lines it stays far below runtime.LARGEST
DEPARTED = 2000  # ids of members that one fact says are gone
RECOUNTED = 50  # anomalies of an incident from which on its count is told only now and then
# What a fact says of its incident; None: as before.
SCALARS = ("severity", "title", "description", "category", "root_cause", "corr_keys")
SERVICE = "correlation-service"
# A fact that says nothing new. Most facts are copies of it: to check parts that are known to be valid, once more and
# all of them, takes three times as long.
REPETITION = IncidentUpdated(
    tracking_id="-", ship_id="-", ts=datetime.max.replace(tzinfo=UTC), incident_id="-", revision=2
)


@dataclass(frozen=True)
class Teller:
    """Tells what became of episodes; every fact counts their revision up."""

    policy: CorrelatePolicy

    def opened(self, episode: Episode, member: Evidence, cause: Message) -> Incident:
        """The creation of *episode*, of which *member* is the first anomaly to be told."""
        arrival = max(cause.stages.values(), default=cause.ts)
        known = self._known(episode)
        episode.revision = 1
        anomaly = cause if isinstance(cause, EnrichedAnomaly) else None
        return Incident(
            tracking_id=member.tracking_id,
            ship_id=episode.ship_id,
            ts=member.ts,
            stages=member.stages,
            id=episode.id,
            domain=member.domain,
            affected_services=(member.service,),
            affected_devices=(member.device,),
            fingerprint=member.fingerprint,
            suppress_key=compute_suppress_key(anomaly) if anomaly else "",
            anomaly_count=1,
            evidence=(member,),
            timeline=(_opening(member, anomaly),),
            context=_context(anomaly),
            first_seen=member.ts,
            last_seen=member.ts,
            created_at=arrival,
            updated_at=arrival,
            **known,
        )

    def updated(
        self,
        episode: Episode,
        cause: Message,
        members: Sequence[Evidence] = (),
        reason: str = "",
        **changes: object,
    ) -> IncidentUpdated:
        before = episode.severity
        known = self._known(episode)
        episode.revision += 1
        if episode.severity < before:
            reason += f"; severity down from {before} to {episode.severity}"
        return cause.derive(
            IncidentUpdated,
            incident_id=episode.id,
            revision=episode.revision,
            members=tuple(members),
            reason=reason,
            **known,
            **changes,
        )

    def repeated(self, episode: Episode, cause: Message, member: Evidence) -> IncidentUpdated:
        """*member* changes nothing that is known of *episode* but the count. Looking at all of a large
        incident for each of its repetitions would take longer than they take to come: from a certain
        number on the count is told anew only now and then."""
        if episode.count <= RECOUNTED or episode.count % _step(episode.count) == 0:
            return self.updated(episode, cause, [member], member.reason)
        episode.revision += 1
        return REPETITION.but(
            tracking_id=cause.tracking_id,
            ship_id=cause.ship_id,
            ts=cause.ts,
            stages=cause.stages,
            incident_id=episode.id,
            revision=episode.revision,
            members=(member,),
            reason=member.reason,
        )

    def moved_in(
        self,
        episode: Episode,
        cause: Message,
        members: Sequence[Evidence],
        moved_from: Sequence[str],
        absorbed: Sequence[str],
        reason: str,
    ) -> Iterator[IncidentUpdated]:
        """*members* came from other incidents, of which nothing is left of *absorbed*."""
        origins = tuple(moved_from)
        for start in range(0, len(members), JOINED):
            chunk = members[start : start + JOINED]
            gone = tuple(absorbed) if start + JOINED >= len(members) else ()
            yield self.updated(episode, cause, chunk, reason, moved_from=origins, absorbed=gone)

    def moved_out(
        self, episode: Episode, cause: Message, members: Sequence[Evidence], into: str
    ) -> Iterator[IncidentUpdated]:
        reason = f"{len(members)} anomalies belong to incident {into} and have moved there"
        for start in range(0, len(members), DEPARTED):
            chunk = members[start : start + DEPARTED]
            yield self.updated(
                episode,
                cause,
                reason=reason,
                departed=tuple(member.anomaly_id for member in chunk),
                affected_devices=episode.devices,
                affected_services=episode.services,
            )

    def merged(self, episode: Episode, into: str, cause: Message) -> IncidentCleared:
        note = f"its anomalies belong to incident {into}"
        return self.closed(episode, "merged", note, cause, merged_into=into)

    def closed(
        self, episode: Episode, why: str, note: str, cause: Message, **more: object
    ) -> IncidentCleared:
        episode.revision += 1
        return cause.derive(
            IncidentCleared,
            incident_id=episode.id,
            revision=episode.revision,
            resolve_reason=why,
            note=note,
            **more,
        )

    def _known(self, episode: Episode) -> dict[str, object]:
        """What is true of *episode* now."""
        firsts = episode.firsts()
        cause = root_cause(firsts, episode.blamed)
        root = firsts.get(cause.device or "") or next(iter(firsts.values()))
        swings = episode.swings
        if len(swings) < self.policy.flapping.times:
            swings = ()
        blamed = "" if cause.anomaly else episode.blamed
        episode.severity = episode.worst(self.policy.escalate_devices)
        return {
            "title": title(root, len(firsts), blamed, len(swings), episode.is_list),
            "description": description(firsts, episode.count, root, swings),
            "category": self.policy.wording_of(root.anomaly_type).category,
            "severity": episode.severity,
            "root_cause": cause,
            "corr_keys": episode.keys,
        }


def _opening(member: Evidence, anomaly: EnrichedAnomaly | None) -> TimelineEntry:
    text = (anomaly.reason if anomaly else "") or member.msg
    return TimelineEntry(ts=member.ts, kind="opened", text=text, actor=SERVICE)


def _context(anomaly: EnrichedAnomaly | None) -> dict[str, object]:
    if anomaly is None:
        return {}
    return {"tags": list(anomaly.tags), "partial": anomaly.context.partial}


def _step(count: int) -> int:
    """Between the counts that are told: fine enough for two digits of each."""
    return max(RECOUNTED, int(10 ** (len(str(count)) - 2)))
