"""Pure: messages as rows of the tables in ``clickhouse/``. Field names are column names.

Times are integers of microseconds: the driver would otherwise convert each through two time zones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from aiops_core.fingerprints import compute_fingerprint
from aiops_core.models import (
    AnomalyDetected,
    AnomalyDigested,
    AnomalySuppressed,
    EnrichedAnomaly,
    Evidence,
    Incident,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    ProblemEdited,
    Stages,
    TimelineEntry,
    derived_id,
)
from incident_api.folding import StoredIncident, occurrences_of
from incident_api.timeline import describe

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = 4_102_444_800_000_000  # year 2100; a wilder clock is cut to what DateTime64 can hold
SUPPRESSED = "suppressed"
DIGESTED = "digested"
MOVED = "moved"  # in the place that it had before
STAGES = "mapApply((k, v) -> (k, toUnixTimestamp64Micro(v)), stages)"  # the column, in SQL


class AnomalyRow(NamedTuple):
    anomaly_id: str
    tracking_id: str
    ship_id: str
    ts: int
    domain: str
    anomaly_type: str
    service: str
    device_id: str
    host: str
    detector: str
    score: float
    severity: str
    msg: str
    reason: str
    fingerprint: str
    stages: dict[str, int]
    version: int
    body: str


class DigestedRow(NamedTuple):
    """A finding that opened no incident; *template* and *msg* say what it was."""

    anomaly_id: str
    tracking_id: str
    ship_id: str
    ts: int
    device_id: str
    service: str
    component: str
    anomaly_type: str
    detector: str
    severity: str
    msg: str
    template_id: str
    template: str
    reason: str
    stages: dict[str, int]


class MemberRow(NamedTuple):
    anomaly_id: str
    tracking_id: str
    ship_id: str
    ts: int
    role: str
    place: str
    reason: str
    fingerprint: str
    device_id: str
    service: str
    anomaly_type: str
    stages: dict[str, int]
    version: int
    body: str
    incident_id: str = ""
    duplicate_of: str = ""
    rule: str = ""
    severity: str = ""
    stored_at: int = 0  # when it was shown first; 0: when it is written


class IncidentRow(NamedTuple):
    id: str
    ship_id: str
    status: str
    severity: str
    category: str
    domain: str
    title: str
    description: str
    root_cause: str
    affected_services: tuple[str, ...]
    affected_devices: tuple[str, ...]
    fingerprint: str
    anomaly_count: int
    first_seen: int
    last_seen: int
    created_at: int
    updated_at: int
    resolve_reason: str
    assignee: str
    version: int
    recorded_at: int
    insight_source: str
    insight_ms: float
    body: str
    fold: str
    problem_id: str = ""
    occurrence: int = 0
    cadence: str = ""
    quiet_since: int | None = None
    spread: str = ""


class OccurrenceRow(NamedTuple):
    """One time that a problem came, within one incident."""

    problem_id: str
    incident_id: str
    occurrence: int
    ship_id: str
    began: int
    ended: int | None
    ending: str
    note: str
    severity: str
    devices: int
    version: int


class EditRow(NamedTuple):
    """What a person said about problems."""

    problem_id: str
    change: int
    ts: int
    body: str


class EventRow(NamedTuple):
    event_id: str
    incident_id: str
    ts: int
    kind: str
    actor: str
    text: str
    body: str


TableRow = AnomalyRow | DigestedRow | MemberRow | OccurrenceRow | EditRow | IncidentRow | EventRow
OCCURRENCES = "problem_occurrences"
TABLES: dict[type[TableRow], str] = {
    AnomalyRow: "anomalies",
    DigestedRow: "anomalies_digested",
    MemberRow: "incident_members",
    OccurrenceRow: OCCURRENCES,
    EditRow: "problem_edits",
    IncidentRow: "incidents",
    EventRow: "incident_events",
}


@dataclass(frozen=True)
class Batch:
    """Rows that are written together.

    With its *token* a repeated write of it counts once. No two batches share one: an equal row that
    is written for another reason is no repetition.
    """

    rows: Sequence[TableRow] = ()
    token: str = field(default_factory=lambda: uuid4().hex)

    def tables(self) -> dict[str, Batch]:
        """A batch for each table, by its name."""
        parts: dict[str, list[TableRow]] = {}
        for row in self.rows:
            parts.setdefault(TABLES[type(row)], []).append(row)
        return {name: Batch(rows) for name, rows in parts.items()}

    def halves(self) -> Sequence[Batch]:
        """Two with half of the rows each, none for a single row."""
        half = (len(self.rows) + 1) // 2
        if half == len(self.rows):
            return ()
        return Batch(self.rows[:half]), Batch(self.rows[half:])


def micros(at: datetime) -> int:
    """Microseconds since 1970, cut to the years 1970-2100."""
    since = at - EPOCH
    exact = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return exact if 0 <= exact <= LATEST else min(max(exact, 0), LATEST)


def moment(micro: int) -> datetime:
    return EPOCH + micro * MICROSECOND


def _times(stages: Stages) -> dict[str, int]:
    return {stage: micros(at) for stage, at in stages.items()}


def stages_of(times: dict[str, int]) -> Stages:
    """The inverse of ``_times``."""
    return {stage: moment(at) for stage, at in times.items()}


def sql_time(parameter: str) -> str:
    """The time whose microseconds are bound to *parameter*."""
    return f"fromUnixTimestamp64Micro(toInt64(%({parameter})s))"


def anomaly_row(anomaly: AnomalyDetected | EnrichedAnomaly, body: str = "") -> AnomalyRow:
    """*body* is the anomaly as JSON, where that is known."""
    return AnomalyRow(
        anomaly_id=anomaly.anomaly_id,
        tracking_id=anomaly.tracking_id,
        ship_id=anomaly.ship_id,
        ts=micros(anomaly.ts),
        domain=anomaly.domain.value,
        anomaly_type=anomaly.anomaly_type,
        service=anomaly.service,
        device_id=anomaly.device,
        host=anomaly.host,
        detector=anomaly.detector,
        score=anomaly.score,
        severity=anomaly.severity.value,
        msg=anomaly.msg,
        reason=anomaly.reason,
        fingerprint=compute_fingerprint(anomaly),
        stages=_times(anomaly.stages),
        version=2 if isinstance(anomaly, EnrichedAnomaly) else 1,
        body=body or anomaly.model_dump_json(),
    )


def digested_row(found: AnomalyDigested) -> DigestedRow:
    return DigestedRow(
        anomaly_id=found.anomaly_id,
        tracking_id=found.tracking_id,
        ship_id=found.ship_id,
        ts=micros(found.ts),
        device_id=found.device,
        service=found.service,
        component=found.component,
        anomaly_type=found.anomaly_type,
        detector=found.detector,
        severity=found.severity.value,
        msg=found.msg,
        template_id=found.template_id,
        template=found.template,
        reason=found.reason,
        stages=_times(found.stages),
    )


def member_rows(fact: Message, version: int, shown_at: int = 0) -> Iterator[MemberRow]:
    """Where each anomaly of *fact* is. For one that has moved also where it is no longer. Of two
    rows about one place the one with the greater *version* holds."""
    if isinstance(fact, AnomalySuppressed):
        yield _member_row(
            fact,
            ship_id=fact.ship_id,
            role=SUPPRESSED,
            place=f"{SUPPRESSED}:{fact.by}",
            rule=fact.by,
            device_id=fact.device_id or "",
            version=version,
            stored_at=shown_at,
        )
        return
    incident_id = fact_incident_id(fact)
    for one in members_of(fact):
        row = _member_row(
            one,
            ship_id=fact.ship_id,
            incident_id=incident_id,
            role=one.role.value,
            place=incident_id,
            duplicate_of=one.duplicate_of or "",
            device_id=one.device,
            severity=one.severity.value,
            version=version,
            stored_at=shown_at,
        )
        if before := one.moved_from:
            row.stages.pop("ingest", None)  # a move is no latency of the fast path
            why = f"moved to incident {incident_id}: {one.reason}"
            yield row._replace(incident_id=before, place=before, role=MOVED, reason=why)
        yield row


def members_of(fact: Message) -> Sequence[Evidence]:
    """The anomalies that are in the incident of *fact* from now on."""
    if isinstance(fact, IncidentUpdated):
        return fact.members
    return fact.evidence if isinstance(fact, Incident) else ()


def _member_row(one: Evidence | AnomalySuppressed, **columns: Any) -> MemberRow:
    return MemberRow(
        anomaly_id=one.anomaly_id,
        tracking_id=one.tracking_id,
        ts=micros(one.ts),
        reason=one.reason,
        fingerprint=one.fingerprint,
        service=one.service,
        anomaly_type=one.anomaly_type,
        stages=_times(one.stages),
        body=one.model_dump_json(),
        **columns,
    )


def incident_row(stored: StoredIncident) -> IncidentRow:
    incident, recurrence = stored.incident, stored.incident.recurrence
    return IncidentRow(
        id=incident.id,
        ship_id=incident.ship_id,
        status=incident.status.value,
        severity=incident.severity.value,
        category=incident.category,
        domain=incident.domain.value,
        title=incident.title,
        description=incident.description,
        root_cause=incident.root_cause.model_dump_json() if incident.root_cause else "",
        affected_services=incident.affected_services,
        affected_devices=incident.affected_devices,
        fingerprint=incident.fingerprint,
        anomaly_count=incident.anomaly_count,
        first_seen=micros(incident.first_seen),
        last_seen=micros(incident.last_seen),
        created_at=micros(incident.created_at),
        updated_at=micros(incident.updated_at),
        resolve_reason=incident.resolve_reason or "",
        assignee=incident.assignee or "",
        version=stored.version,
        recorded_at=micros(stored.recorded_at),
        insight_source=stored.insights.source if stored.insights else "",
        insight_ms=-1.0 if stored.insight_ms is None else stored.insight_ms,
        body=incident.model_dump_json(exclude={"tracking_ids"}),
        fold=stored.model_dump_json(exclude={"incident"}),
        problem_id=recurrence.problem_id if recurrence else "",
        occurrence=recurrence.occurrence if recurrence else 0,
        cadence=recurrence.cadence if recurrence else "",
        quiet_since=_micros_of(incident.quiet_since),
        spread=recurrence.spread if recurrence else "",
    )


def occurrence_rows(
    before: StoredIncident | None, after: StoredIncident
) -> Iterator[OccurrenceRow]:
    """The occurrences within *after* that differ from those within *before*."""
    known = set(occurrences_of(before)) if before else set()
    for one in occurrences_of(after):
        if one not in known:
            yield OccurrenceRow(
                problem_id=one.problem_id,
                incident_id=after.incident.id,
                occurrence=one.number,
                ship_id=after.incident.ship_id,
                began=micros(one.began),
                ended=_micros_of(one.ended),
                ending=one.ending,
                note=one.note,
                severity=one.severity,
                devices=one.devices,
                version=after.version,
            )


def edit_row(edit: ProblemEdited) -> EditRow:
    return EditRow(edit.problem_id, edit.change, micros(edit.ts), edit.model_dump_json())


def _micros_of(at: datetime | None) -> int | None:
    return micros(at) if at else None


def stored_incident(body: str, fold: str) -> StoredIncident:
    """The inverse of ``incident_row``: both are JSON objects, joined into one."""
    return StoredIncident.model_validate_json(f'{{"incident":{body},{fold[1:]}')


def event_row(incident_id: str, fact: Message) -> EventRow:
    entry = describe(fact)
    return EventRow(
        event_id=derived_id(incident_id, fact.subject, _place(fact)),
        incident_id=incident_id,
        ts=micros(entry.ts),
        kind=entry.kind,
        actor=entry.actor,
        text=entry.text,
        body=fact.model_dump_json(exclude={"members", "evidence", "tracking_ids", "timeline"}),
    )


def _place(fact: Message) -> str:
    """What tells this fact from others of its subject and incident, the same on every delivery."""
    if isinstance(fact, IncidentTransitioned):
        return str(fact.change)
    if "insight" in fact.stages:
        return fact.stages["insight"].isoformat()
    return str(getattr(fact, "revision", 1))


def timeline_entry(row: EventRow) -> TimelineEntry:
    return TimelineEntry(ts=moment(row.ts), kind=row.kind, text=row.text, actor=row.actor)


def fact_incident_id(fact: Message) -> str:
    return fact.id if isinstance(fact, Incident) else str(getattr(fact, "incident_id", ""))
