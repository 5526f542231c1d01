"""From an anomaly to the one fact that it causes. Pure, and the heart of the service.

Every anomaly causes exactly one message: it opens an incident, joins one, or is suppressed by a rule
that is named. The published facts *are* the state: ``restore`` folds them back, so that what was
published before a kill is known after it, and an anomaly that is delivered again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.fingerprints import (
    compute_correlation_keys,
    compute_fingerprint,
    compute_suppress_key,
)
from aiops_core.models import (
    AnomalySuppressed,
    EnrichedAnomaly,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Role,
    Severity,
    Status,
    TimelineEntry,
    derived_id,
)
from correlation_service.deduplication import Seen
from correlation_service.policy import CorrelatePolicy, Grouping, SuppressRule
from correlation_service.suppression import Suppression
from correlation_service.topology import root_cause
from correlation_service.windowing import (
    Episode,
    Windows,
    affected_key,
    arrival_of,
    below_key,
    graph_keys,
)
from correlation_service.wording import description, label, title

MSG_KEPT = 500  # characters of a line that evidence carries; the whole line is in logs.raw


@dataclass(frozen=True)
class Found:
    """An episode that an anomaly may join, and why."""

    episode: Episode
    reason: str


class Correlator:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self.policy = policy
        self.windows = Windows(policy.max_length)
        self.seen = Seen()
        self._suppression = Suppression(policy)

    def handle(self, anomaly: EnrichedAnomaly) -> Message | None:
        """The fact that *anomaly* causes; None when it has caused one before."""
        if anomaly.anomaly_id in self.seen:
            return None
        self.seen.add(anomaly.anomaly_id)
        if rule := self._suppression.rule_for(anomaly):
            return _suppressed(anomaly, rule)
        fingerprint = compute_fingerprint(anomaly)
        if found := next(self._candidates(anomaly, fingerprint), None):
            return self._join(found, anomaly, fingerprint)
        return self._open(anomaly, fingerprint)

    def expire(self, now: datetime) -> Iterator[IncidentCleared]:
        """Close what has been quiet for its window. Silence is not recovery, and the reason says so."""
        for episode in self.windows.over(now, self.policy.settle):
            episode.revision += 1
            self.windows.close(episode)
            minutes = episode.window.total_seconds() / 60
            yield IncidentCleared(
                tracking_id=episode.tracking_id,
                ship_id=episode.ship_id,
                ts=now,
                incident_id=episode.id,
                revision=episode.revision,
                resolve_reason="expired",
                note=f"nothing more was seen for {minutes:g} minutes",
            )

    def end(self, incident_id: str) -> None:
        """An operator has closed the incident: it never absorbs again."""
        if episode := self.windows.get(incident_id):
            self.windows.close(episode)

    def restore(self, fact: Message) -> None:
        """Fold a fact that was published before this process began. Facts come in their order."""
        match fact:
            case Incident() if fact.evidence:  # those made by hand have none and absorb nothing
                self._restore_incident(fact)
            case IncidentUpdated():
                self._restore_update(fact)
            case IncidentCleared():
                self.end(fact.incident_id)
            case IncidentTransitioned(to_status=Status.RESOLVED):
                self.end(fact.incident_id)
            case AnomalySuppressed():
                self.seen.add(fact.anomaly_id)

    def _candidates(self, anomaly: EnrichedAnomaly, fingerprint: str) -> Iterator[Found]:
        grouping = self.policy.grouping_of(anomaly.anomaly_type)
        keys = _by_kind(compute_correlation_keys(anomaly))
        known = {k: v for k, v in keys.items() if k in grouping.by}
        for key in known.values():
            for episode in self.windows.under(key, anomaly.ts):
                if fingerprint in episode.fingerprints:
                    yield Found(episode, "the same problem again")
        for kind, key in known.items():
            for episode in self.windows.under(key, anomaly.ts):
                yield Found(episode, f"same {_WORDS[kind]}: {key.rpartition('|')[2]}")
        yield from self._along_graph(anomaly, grouping)

    def _along_graph(self, anomaly: EnrichedAnomaly, grouping: Grouping) -> Iterator[Found]:
        """Open causes that *anomaly* depends on, the nearest first; then symptoms of what it reports."""
        family = self.policy.family_of(anomaly.anomaly_type)
        related = grouping.follows != "none"
        follows, spreads = grouping.follows == "any", grouping.spreads == "any"
        for upstream in anomaly.context.upstream:
            key = affected_key(anomaly.ship_id, upstream.id)
            for episode in self.windows.under(key, anomaly.ts):
                if (related and family in episode.families) or (follows and episode.spreads):
                    yield Found(episode, f"{anomaly.device} depends on {upstream.id}")
        key = below_key(anomaly.ship_id, anomaly.device)
        for episode in self.windows.under(key, anomaly.ts):
            if family in episode.families or (spreads and episode.follows):
                yield Found(episode, f"affected devices depend on {anomaly.device}")

    def _join(self, found: Found, anomaly: EnrichedAnomaly, fingerprint: str) -> IncidentUpdated:
        episode = found.episode
        member = self._evidence(anomaly, fingerprint, found.reason, episode)
        self._absorb(episode, member, anomaly)
        episode.revision += 1
        cause = root_cause(episode.firsts)
        root = episode.firsts[cause.device or anomaly.device]
        return anomaly.derive(
            IncidentUpdated,
            incident_id=episode.id,
            revision=episode.revision,
            members=(member,),
            severity=self._severity(episode),
            title=title(root, len(episode.firsts)),
            description=description(episode, root),
            category=self.policy.wording_of(root.anomaly_type).category,
            root_cause=cause,
            corr_keys=_group_keys(episode.keys),
            reason=found.reason,
        )

    def _open(self, anomaly: EnrichedAnomaly, fingerprint: str) -> Incident:
        member = self._evidence(anomaly, fingerprint, "it opened the incident", None)
        arrival = arrival_of(anomaly)
        episode = _episode_of(
            derived_id("incident", anomaly.anomaly_id), anomaly, self._window(anomaly.anomaly_type)
        )
        self.windows.add(episode)
        self._absorb(episode, member, anomaly)
        cause = root_cause(episode.firsts)
        root = episode.firsts[member.device]
        return anomaly.derive(
            Incident,
            id=episode.id,
            title=title(root, 1),
            description=description(episode, root),
            category=self.policy.wording_of(anomaly.anomaly_type).category,
            severity=self._severity(episode),
            domain=anomaly.domain,
            affected_services=(anomaly.service,),
            affected_devices=(anomaly.device,),
            fingerprint=fingerprint,
            suppress_key=compute_suppress_key(anomaly),
            corr_keys=_group_keys(episode.keys),
            root_cause=cause,
            anomaly_count=1,
            evidence=(member,),
            timeline=(_opened(anomaly, member),),
            context={"tags": list(anomaly.tags), "partial": anomaly.context.partial},
            first_seen=anomaly.ts,
            last_seen=anomaly.ts,
            created_at=arrival,
            updated_at=arrival,
            tracking_ids=(anomaly.tracking_id,),
        )

    def _window(self, anomaly_type: str) -> timedelta:
        return self.policy.window_of(anomaly_type)

    def _absorb(self, episode: Episode, member: Evidence, anomaly: EnrichedAnomaly) -> None:
        episode.absorb(member, arrival_of(anomaly))
        by = self.policy.grouping_of(anomaly.anomaly_type).by
        keys = _by_kind(compute_correlation_keys(anomaly))
        self.windows.file(episode, (key for kind, key in keys.items() if kind in by))
        self._file_in_graph(episode, member)

    def _file_in_graph(self, episode: Episode, member: Evidence) -> None:
        grouping = self.policy.grouping_of(member.anomaly_type)
        if grouping.spreads != "none":
            episode.families.add(self.policy.family_of(member.anomaly_type))
        episode.spreads |= grouping.spreads == "any"
        episode.follows |= grouping.follows == "any"
        self.windows.file(episode, graph_keys(member, episode.ship_id))

    def _severity(self, episode: Episode) -> Severity:
        """The worst of the members; one step more when many devices are affected."""
        severity = episode.severity
        if len(episode.firsts) >= self.policy.escalate_devices and severity < Severity.CRITICAL:
            return list(Severity)[severity.rank + 1]
        return severity

    def _evidence(
        self, anomaly: EnrichedAnomaly, fingerprint: str, reason: str, episode: Episode | None
    ) -> Evidence:
        repeated = episode.fingerprints.get(fingerprint) if episode else None
        return Evidence(
            anomaly_id=anomaly.anomaly_id,
            tracking_id=anomaly.tracking_id,
            ts=anomaly.ts,
            role=Role.DUPLICATE if repeated else Role.MEMBER,
            duplicate_of=repeated,
            reason=reason,
            domain=anomaly.domain,
            anomaly_type=anomaly.anomaly_type,
            device_id=anomaly.device_id,
            host=anomaly.host,
            service=anomaly.service,
            detector=anomaly.detector,
            severity=anomaly.severity,
            score=anomaly.score,
            msg=anomaly.msg[:MSG_KEPT],
            label=label(self.policy.wording_of(anomaly.anomaly_type), anomaly),
            fingerprint=fingerprint,
            upstream=tuple(device.id for device in anomaly.context.upstream),
            stages=anomaly.stages,
        )

    def _restore_incident(self, fact: Incident) -> None:
        if self.windows.get(fact.id):
            return
        window = self._window(fact.evidence[0].anomaly_type)
        episode = _episode_of(fact.id, fact, window)
        self.windows.add(episode)
        self._restore_members(episode, fact.evidence, fact.corr_keys)

    def _restore_update(self, fact: IncidentUpdated) -> None:
        self._know(fact.members)
        episode = self.windows.get(fact.incident_id)
        if episode and fact.revision > episode.revision:
            episode.revision = fact.revision
            self._restore_members(episode, fact.members, fact.corr_keys or ())

    def _restore_members(
        self, episode: Episode, members: Iterable[Evidence], keys: Iterable[str]
    ) -> None:
        self._know(members)
        for member in members:
            episode.absorb(member, arrival_of(member))
            self._file_in_graph(episode, member)
        self.windows.file(episode, keys)

    def _know(self, members: Iterable[Evidence]) -> None:
        for member in members:
            self.seen.add(member.anomaly_id)


_WORDS = {
    "peer": "peer",
    "service": "service",
    "device": "device",
    "attacked": "attacked device",
    "type": "type of anomaly",
}


def _by_kind(keys: Iterable[str]) -> dict[str, str]:
    return {key.split("|")[1]: key for key in keys}


def _group_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys that operators may know; those of the graph are the correlator's own."""
    return tuple(key for key in keys if key.split("|")[1] in _WORDS)


def _episode_of(incident_id: str, cause: EnrichedAnomaly | Incident, window: timedelta) -> Episode:
    return Episode(
        id=incident_id,
        ship_id=cause.ship_id,
        tracking_id=cause.tracking_id,
        window=window,
        first_seen=cause.ts,
        last_seen=cause.ts,
        last_arrival=max(cause.stages.values(), default=cause.ts),
    )


def _opened(anomaly: EnrichedAnomaly, member: Evidence) -> TimelineEntry:
    text = anomaly.reason or member.msg
    return TimelineEntry(ts=anomaly.ts, kind="opened", text=text, actor="correlation-service")


def _suppressed(anomaly: EnrichedAnomaly, rule: SuppressRule) -> AnomalySuppressed:
    return anomaly.derive(
        AnomalySuppressed,
        anomaly_id=anomaly.anomaly_id,
        by=rule.id,
        reason=rule.reason,
        fingerprint=compute_fingerprint(anomaly),
        device_id=anomaly.device_id,
        service=anomaly.service,
        anomaly_type=anomaly.anomaly_type,
    )
