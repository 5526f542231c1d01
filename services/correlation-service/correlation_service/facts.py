"""Builds the facts about incidents, as they are in an overlay. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from aiops_core.fingerprints import compute_suppress_key
from aiops_core.models import (
    EnrichedAnomaly,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Recurrence,
    Severity,
    TimelineEntry,
)
from correlation_service.incident import OpenIncident
from correlation_service.kinds import place_of
from correlation_service.overlay import Overlay
from correlation_service.problem import KnownProblem
from correlation_service.recoveries import Times
from correlation_service.root_cause import root_cause
from correlation_service.signatures import signature_of
from correlation_service.wording import description, title

JOINED = 100  # members of one fact: even of long lines it stays far below bus.LARGEST
DEPARTED = 2000  # ids of departed members of one fact
RECOUNTED = 50  # anomalies of an incident from which on its count is published only now and then
# The fields of a fact that describe its incident; None: as before.
SCALARS = ("severity", "title", "description", "category", "root_cause", "corr_keys", "inferred")
SERVICE = "correlation-service"
# A fact that says nothing new. Most facts are copies of it: to validate all fields once more takes
# three times as long.
REPETITION = IncidentUpdated(
    tracking_id="-", ship_id="-", ts=datetime.max.replace(tzinfo=UTC), incident_id="-", revision=2
)


class FactBuilder:
    """The facts that *cause* has about incidents of *overlay*; each counts the revision up."""

    def __init__(self, overlay: Overlay, cause: Message) -> None:
        self._overlay, self._policy, self._cause = overlay, overlay.policy, cause
        self._problems = overlay.state.problems

    def opened(self, incident_id: str, member: Evidence) -> Incident:
        """The creation of an incident, of which *member* is the first anomaly to be published."""
        incident, cause = self._overlay.edit(incident_id), self._cause
        arrival = max(cause.stages.values(), default=cause.ts)
        sign = signature_of(incident.ship_id, member, self._policy)
        place = place_of(incident.ship_id, member, self._policy)
        recurrence = self._problems.first(sign, incident.id, place)
        known = self._known(incident, recurrence)
        del known["inferred"]
        incident.revision = 1
        anomaly = cause if isinstance(cause, EnrichedAnomaly) else None
        return Incident(
            tracking_id=member.tracking_id,
            ship_id=incident.ship_id,
            ts=member.ts,
            stages=member.stages,
            id=incident.id,
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
            recurrence=recurrence,
            announce=self._problems.is_news(place, member.severity),
            **known,
        )

    def updated(
        self,
        incident_id: str,
        members: Sequence[Evidence] = (),
        reason: str = "",
        **changes: object,
    ) -> IncidentUpdated:
        incident = self._overlay.edit(incident_id)
        before, back = incident.severity, self._overlay.returns.pop(incident_id, None)
        known = self._known(incident, back.recurrence if back else self._recurrence(incident.id))
        incident.revision += 1
        if back:
            changes |= {"recurrence": back.recurrence, "reopens": back.reopens}
            news = back.news
        else:
            news = self._news(incident, before)
            if incident.severity < before:
                reason += f"; severity down from {before} to {incident.severity}"
        if news:
            reason += f"; {news}"
        return self._cause.derive(
            IncidentUpdated,
            incident_id=incident.id,
            revision=incident.revision,
            members=tuple(members),
            reason=reason,
            announce=bool(news),
            **known,
            **changes,
        )

    def _recurrence(self, incident_id: str) -> Recurrence | None:
        problem = self._problems.table.of_incident(incident_id)
        return problem.recurrence if problem else None

    def _news(self, incident: OpenIncident, before: Severity) -> str:
        """What a person is to be told of an incident that goes on; empty: nothing. Who merges
        incidents knows what follows."""
        if isinstance(self._cause, IncidentTransitioned):
            return ""
        place = incident.root.device if incident.root else None
        if problem := self._problems.table.of_incident(incident.id):
            lasted = incident.last_seen - incident.first_seen
            return self._problems.news(
                problem, incident.severity, place or "", incident.width, lasted
            )
        return f"severity up to {incident.severity}" if incident.severity > before else ""

    def waits(
        self, incident_id: str, problem: KnownProblem, why: str, note: str
    ) -> IncidentUpdated:
        """The occurrence is over, and the incident stays open for the next one of *problem*."""
        incident = self._overlay.incident(incident_id)
        return self.updated(
            incident_id,
            reason=f"{note}; it stays open, as it comes {problem.cadence}",
            quiet_since=incident.last_seen,
            recurrence=problem.recurrence.but(resolved_before=f"{why}: {note}"),
        )

    def stopped(self, problem: KnownProblem) -> IncidentCleared:
        """The incident of *problem* waited in vain."""
        return self._cleared(problem, "expired", f"it did not come back; it came {problem.cadence}")

    def united(self, problem: KnownProblem, into: KnownProblem) -> IncidentCleared:
        """The incident of *problem* waited; that of *into* goes on for it."""
        note = f"its problem is that of incident {into.incident} now"
        return self._cleared(problem, "merged", note)

    def _cleared(self, problem: KnownProblem, why: str, note: str) -> IncidentCleared:
        return self._cause.derive(
            IncidentCleared,
            incident_id=problem.incident,
            revision=problem.revision + 1,
            resolve_reason=why,
            note=note,
        )

    def recounts(self, incident_id: str) -> bool:
        """Whether a repetition publishes the count. To look at all of a large incident for each of
        them would take longer than they take to come, so from a certain number on only some do."""
        count = self._overlay.state.open.incidents[incident_id].count + 1
        return count <= RECOUNTED or count % _step(count) == 0

    def repeated(self, incident_id: str, member: Evidence) -> IncidentUpdated:
        """*member* changes nothing of its incident but the count."""
        cause = self._cause
        return REPETITION.but(
            tracking_id=cause.tracking_id,
            ship_id=cause.ship_id,
            ts=cause.ts,
            stages=cause.stages,
            incident_id=incident_id,
            revision=self._overlay.state.open.incidents[incident_id].revision + 1,
            members=(member,),
            reason=member.reason,
        )

    def moved_in(
        self,
        incident_id: str,
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
            yield self.updated(incident_id, chunk, reason, moved_from=origins, absorbed=gone)

    def moved_out(
        self, incident_id: str, members: Sequence[Evidence], into: str
    ) -> Iterator[IncidentUpdated]:
        incident = self._overlay.incident(incident_id)
        reason = f"{len(members)} anomalies belong to incident {into} and have moved there"
        for start in range(0, len(members), DEPARTED):
            chunk = members[start : start + DEPARTED]
            yield self.updated(
                incident_id,
                reason=reason,
                departed=tuple(member.anomaly_id for member in chunk),
                affected_devices=incident.devices,
                affected_services=incident.services,
            )

    def merged(self, incident_id: str, into: str) -> IncidentCleared:
        note = f"its anomalies belong to incident {into}"
        return self.closed(incident_id, "merged", note, merged_into=into)

    def closed(self, incident_id: str, why: str, note: str, **more: object) -> IncidentCleared:
        incident = self._overlay.edit(incident_id)
        incident.revision += 1
        return self._cause.derive(
            IncidentCleared,
            incident_id=incident_id,
            revision=incident.revision,
            resolve_reason=why,
            note=note,
            **more,
        )

    def _known(self, incident: OpenIncident, recurrence: Recurrence | None) -> dict[str, object]:
        """What is true of *incident* now."""
        firsts = incident.firsts()
        telling = incident.telling(self._policy.is_generic)
        cause = root_cause(firsts, incident.inferred)
        at_root = telling.get(cause.device or "") or next(iter(telling.values()))
        root = at_root.shown
        if cause.anomaly:
            cause = cause.but(anomaly=root.anomaly_id, service=root.service)
        flaps = max(map(self._overlay.flaps, incident.alerts.values()), key=_how_often)
        if len(flaps) < self._policy.flapping.times:
            flaps = ()
        silent = "" if cause.anomaly else incident.inferred
        incident.severity = incident.worst(self._policy.escalate_devices)
        incident.root = cause
        text = title(
            root,
            devices=len(firsts),
            silent=silent,
            flaps=len(flaps),
            is_list=incident.is_list,
            alike=at_root.alike,
            recurrence=recurrence,
        )
        return {
            "title": text,
            "description": description(
                firsts, incident.total, root, flaps, text, recurrence, incident.since
            ),
            "category": self._policy.wording_of(root.anomaly_type).category,
            "severity": incident.severity,
            "root_cause": cause,
            "corr_keys": incident.keys,
            "inferred": incident.inferred,
        }


def _opening(member: Evidence, anomaly: EnrichedAnomaly | None) -> TimelineEntry:
    text = (anomaly.reason if anomaly else "") or member.msg
    return TimelineEntry(ts=member.ts, kind="opened", text=text, actor=SERVICE)


def _how_often(flaps: Times) -> tuple[int, Times]:
    return len(flaps), flaps


def _context(anomaly: EnrichedAnomaly | None) -> dict[str, object]:
    if anomaly is None:
        return {}
    return {"tags": list(anomaly.tags), "partial": anomaly.context.partial}


def _step(count: int) -> int:
    """Between the counts that are published: fine enough for two digits of each."""
    return max(RECOUNTED, int(10 ** (len(str(count)) - 2)))
