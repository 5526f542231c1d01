"""The messages of the platform: one class for each subject of the bus.

What is read may be of a later release: unknown fields are dropped, and another minor version of
the same major is read as ours (decision 17). ``_record.py`` has the plumbing.
"""

# ruff: noqa: PLC0414 - ``X as X`` exports what others import from here

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, JsonValue

from aiops_core._record import LONGEST_NAME as LONGEST_NAME
from aiops_core._record import VERSION as VERSION
from aiops_core._record import Fraction as Fraction
from aiops_core._record import Name, OrderedEnum, Version
from aiops_core._record import Record as Record
from aiops_core._record import Stages as Stages
from aiops_core._record import Text as Text
from aiops_core._record import UtcDatetime as UtcDatetime
from aiops_core._record import derived_id as derived_id

M = TypeVar("M", bound="Message")

EVIDENCE_KEPT = 50  # newest evidence that an incident carries; ClickHouse has the rest
TRACKING_IDS_KEPT = 1000
FAST_PATH = ("detect", "enrich", "correlate", "store")  # its stages


class Severity(OrderedEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Level(OrderedEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Domain(StrEnum):
    COMMS = "comms"
    NET = "net"
    APP = "app"
    SYSTEM = "system"
    SECURITY = "security"


class ShipMode(StrEnum):
    """What the ship does; it decides what is normal on it."""

    AT_SEA = "at_sea"
    PORT = "port"
    ANCHOR = "anchor"
    DRY_DOCK = "dry_dock"
    BLACKOUT_RECOVERY = "blackout_recovery"


class Status(StrEnum):
    OPEN = "open"
    ACK = "ack"
    RESOLVED = "resolved"
    SUPPRESSED = "suppressed"


class Message(Record):
    """Common to all; ``tracking_id`` follows one line or reading through the whole pipeline."""

    subject: ClassVar[str]

    schema_version: Version = VERSION
    tracking_id: Text
    ship_id: Text
    ts: UtcDatetime
    stages: Stages = Field(default_factory=dict)

    def derive(self, kind: type[M], /, **fields: Any) -> M:
        """A message caused by this one: same ship, tracking id, event time and stages."""
        carried = {
            "tracking_id": self.tracking_id,
            "ship_id": self.ship_id,
            "ts": self.ts,
            "stages": self.stages,
        }
        return kind.model_validate(carried | fields, extra="forbid")

    def stamped(self, stage: str, at: datetime) -> Self:
        """A copy that has passed *stage* at *at*."""
        return self.but(stages=self.stages | {stage: at})


class _Ingress(Message):
    # Services remember these; a client may send anything.
    tracking_id: Annotated[Name, Field(min_length=1)]
    ship_id: Annotated[Name, Field(min_length=1)]
    host: Annotated[Name, Field(min_length=1)]
    device_id: Name | None = None
    service: Name = "unknown"
    labels: dict[str, str] = Field(default_factory=dict)


class LogEntry(_Ingress):
    """Vector or ``aiops replay`` publishes every log line that it reads.

    ``ts`` is the line's own time, ``stages.ingest`` the time at which it reached the platform.
    With ``raw``, the line as it came, the other fields are only its sender's: anomaly-detection
    reads the line itself (decision 25).
    """

    subject: ClassVar[str] = "logs.ingested"

    level: Level = Level.INFO
    msg: str
    source: str = "unknown"
    raw: str | None = None


class MetricSample(_Ingress):
    """Vector, ``aiops nmea`` or another client publishes every reading of a metric."""

    subject: ClassVar[str] = "metrics.sampled"

    metric: Annotated[Name, Field(min_length=1)]
    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: str | None = None


class Anomaly(Message):
    """The fields that ``AnomalyDetected`` and ``EnrichedAnomaly`` share."""

    domain: Domain
    anomaly_type: Text
    service: Text
    device_id: str | None = None
    host: Text
    detector: Text
    score: Fraction
    severity: Severity
    msg: str
    error_msg: str | None = None
    component: str = Field(default="", description="part of the device, as component_of spells it")
    state: bool | None = Field(
        default=None, description="whether it lasts until it is cleared; None: its type decides"
    )
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    template_id: str | None = None
    template: str | None = None
    reason: str = ""
    meta: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def anomaly_id(self) -> str:
        """Several detectors may find an anomaly in the same line."""
        return derived_id(self.tracking_id, self.detector, self.anomaly_type)

    @property
    def device(self) -> str:
        """The affected device, or the host if the inventory does not know it."""
        return self.device_id or self.host


class AnomalyDetected(Anomaly):
    """anomaly-detection publishes it when a detector finds a line or reading anomalous.

    ``reason`` says why, for people.
    """

    subject: ClassVar[str] = "anomaly.detected"


class AnomalyCleared(Message):
    """anomaly-detection publishes it when a positive sign shows that an anomaly is over.

    It clears every anomaly of *anomaly_types* on the device (and on its service, unless that is
    ``unknown``) up to ``ts``; with a *component* only those of it, with ``-`` those that name none.
    That nothing more was seen is no such sign. *confidence* is below 1 when the end is inferred:
    nobody said that it is over.
    """

    subject: ClassVar[str] = "anomaly.cleared"

    device_id: str | None = None
    host: Text
    service: str = "unknown"
    anomaly_types: tuple[Text, ...] = Field(min_length=1)
    detector: Text
    component: str = ""
    metric: str | None = None
    peer: str | None = None
    started: UtcDatetime | None = Field(default=None, description="when the episode began")
    confidence: Fraction = 1.0
    reason: Text

    @property
    def device(self) -> str:
        return self.device_id or self.host


class Device(Record):
    """One row of the inventory; ``upstream`` are the devices that it depends on."""

    id: Text
    name: str = ""
    type: str = "unknown"
    site: str = ""
    criticality: Severity = Severity.MEDIUM
    upstream: tuple[str, ...] = ()
    owner: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


class SimilarAnomaly(Record):
    """An earlier anomaly of the same fingerprint."""

    anomaly_id: str
    ts: UtcDatetime
    severity: Severity
    msg: str
    incident_id: str | None = None


class LastIncident(Record):
    """The newest earlier incident of the affected device or service."""

    id: str
    title: str
    severity: Severity
    status: Status
    last_seen: UtcDatetime
    resolve_reason: str | None = None


class MaintenanceNote(Record):
    """The maintenance window that an anomaly falls into."""

    id: Text
    owner: str
    reason: str
    end: UtcDatetime


class AnomalyContext(Record):
    """Facts about an anomaly's device, service and ship, as of the anomaly's own time.

    ``partial``: some look-ups failed; ``failed`` names them.
    """

    device: Device | None = None
    upstream: tuple[Device, ...] = ()
    count_1h: int = 0
    count_24h: int = 0
    similar_7d: tuple[SimilarAnomaly, ...] = Field(default=(), max_length=5)
    service_health: Literal["healthy", "degraded", "failing", "unknown"] = "unknown"
    last_incident: LastIncident | None = None
    ship_mode: ShipMode | None = None
    maintenance: MaintenanceNote | None = None
    partial: bool = False
    failed: tuple[str, ...] = ()


class EnrichedAnomaly(Anomaly):
    """enrichment-service publishes every detected anomaly again, with its context.

    ``severity`` is computed anew; ``severity_reason`` says from what.
    """

    subject: ClassVar[str] = "anomaly.enriched"

    context: AnomalyContext = Field(default_factory=AnomalyContext)
    severity_reason: str = ""
    tags: tuple[str, ...] = ()


HiddenBy = Literal["rule", "silence", "inhibition", "outage", "maintenance"]


class AnomalySuppressed(Message):
    """correlation-service publishes it for an anomaly that makes no incident.

    *by* is the id of the rule, silence or outage that decided so, *source* the incident that
    inhibits it or the maintenance window.
    """

    subject: ClassVar[str] = "anomaly.suppressed"

    anomaly_id: Text
    by: Text
    kind: HiddenBy = "rule"
    reason: Text
    source: str | None = None
    fingerprint: str = ""
    device_id: str | None = None
    service: str = ""
    anomaly_type: str = ""


class AnomalyDigested(Message):
    """anomaly-detection publishes it for a finding that is not worth an incident by itself.

    The daily digest of its device counts it. *reason* says why it opened none.
    """

    subject: ClassVar[str] = "anomaly.digested"

    anomaly_id: Text
    anomaly_type: Text
    detector: Text
    device_id: str | None = None
    host: Text
    service: str = ""
    component: str = ""
    severity: Severity
    msg: str
    template_id: str = ""
    template: str = ""
    reason: Text

    @property
    def device(self) -> str:
        return self.device_id or self.host


class Role(StrEnum):
    MEMBER = "member"  # first of its fingerprint in the incident
    DUPLICATE = "duplicate"  # a repetition of a member


class Evidence(Record):
    """One anomaly as part of one incident; ``reason`` says why it belongs there."""

    anomaly_id: Text
    tracking_id: Text
    ts: UtcDatetime
    role: Role = Role.MEMBER
    duplicate_of: str | None = Field(
        default=None, description="of a duplicate, the anomaly_id of the member that it repeats"
    )
    moved_from: str | None = Field(default=None, description="the incident that had it until now")
    reason: str = ""
    domain: Domain
    anomaly_type: str
    device_id: str | None = None
    host: str
    service: str
    detector: str = ""
    component: str = ""
    state: bool = Field(default=False, description="it lasts until it is cleared")
    template_id: str = ""
    metric: str = ""
    peer: str = Field(default="", description="the other side, of an attack for instance")
    severity: Severity
    score: Fraction
    msg: str
    label: str = Field(default="", description="what it would be called on its own")
    fingerprint: str = ""
    keys: tuple[str, ...] = Field(default=(), description="correlation keys by which it groups")
    upstream: tuple[str, ...] = Field(
        default=(), description="devices it depends on, nearest first"
    )
    probable: dict[str, Fraction] = Field(
        default_factory=dict,
        description="those of upstream that are only suggested, with their confidence",
    )
    alerts: tuple[str, ...] = Field(
        default=(), description="id of its alert, then of alerts that were united with it"
    )
    cleared_at: UtcDatetime | None = Field(
        default=None, description="newest recovery of its series that was known when it came"
    )
    cleared_confidence: Fraction = Field(default=1.0, description="below 1: it was inferred")
    stages: Stages = Field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.device_id or self.host


class TimelineEntry(Record):
    """An event in the life of an incident; ``actor`` is a service or a user."""

    ts: UtcDatetime
    kind: str
    text: str
    actor: str = ""


class RootCause(Record):
    """The most probable origin of an incident."""

    device: str | None = None
    service: str | None = None
    anomaly: str | None = Field(default=None, description="anomaly_id of the evidence")
    reason: str = ""
    confidence: Fraction = 0.0


def _stamp_members(members: tuple[Evidence, ...], stage: str, at: datetime) -> tuple[Evidence, ...]:
    return tuple(m.but(stages=m.stages | {stage: at}) for m in members)


class Recurrence(Record):
    """The problem that an incident is an occurrence of.

    *cadence* says in words how often it comes, such as ``daily at 04:02``; empty while unknown.
    *kind* is a digest of what happened without the device: occurrences on other devices share it.
    Those of one kind that come near each other have one *spread*, an id. Both are empty in facts of
    a former release.
    """

    problem_id: Text
    occurrence: Annotated[int, Field(ge=1)] = 1
    cadence: str = ""
    previous: UtcDatetime | None = Field(
        default=None, description="when the occurrence before this one began"
    )
    resolved_before: str = Field(default="", description="what ended the occurrence before")
    kind: str = ""
    spread: str = ""


class Incident(Message):
    """correlation-service publishes it when an anomaly opens an incident; the API when a user does.

    The API returns the same class, folded from all facts of the incident.
    """

    subject: ClassVar[str] = "incidents.created"

    id: Text
    title: Text
    description: str = ""
    category: str = "uncategorised"
    severity: Severity
    status: Status = Status.OPEN
    domain: Domain
    affected_services: tuple[str, ...] = ()
    affected_devices: tuple[str, ...] = ()
    fingerprint: str = ""
    suppress_key: str = ""
    corr_keys: tuple[str, ...] = ()
    root_cause: RootCause | None = None
    anomaly_count: Annotated[int, Field(ge=0)] = 0
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=EVIDENCE_KEPT)
    timeline: tuple[TimelineEntry, ...] = ()
    context: dict[str, JsonValue] = Field(default_factory=dict)
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    created_at: UtcDatetime
    updated_at: UtcDatetime
    resolve_reason: str | None = None
    assignee: str | None = None
    tracking_ids: tuple[str, ...] = Field(default=(), max_length=TRACKING_IDS_KEPT)
    recurrence: Recurrence | None = None
    quiet_since: UtcDatetime | None = Field(
        default=None, description="still open, though nothing more was seen since then"
    )
    announce: bool = Field(default=True, description="whether a person is to be told of it")
    revision: Annotated[int, Field(ge=1)] = 1

    def stamped(self, stage: str, at: datetime) -> Self:
        evidence = _stamp_members(self.evidence, stage, at)
        return self.but(stages=self.stages | {stage: at}, evidence=evidence)


class _LaterFact(Message):
    """A fact of correlation-service about an incident. ``Incident`` creates it with revision 1,
    each later fact counts ``revision`` up."""

    incident_id: Text
    revision: Annotated[int, Field(ge=2)]


class AlertsCleared(Record):
    """Alerts (by id) that a recovery ended: only their series of that service, metric, peer and
    component. Empty: any. *confidence* is below 1 when the end is inferred."""

    alerts: tuple[str, ...]
    service: str = ""
    metric: str = ""
    peer: str = ""
    component: str = ""
    confidence: Fraction = 1.0


class IncidentUpdated(_LaterFact):
    """correlation-service publishes it when anomalies join an incident or leave it.

    Other fields have their new value, or None if it did not change. A member of several incidents
    has moved: it belongs to the one that named it last.
    """

    subject: ClassVar[str] = "incidents.updated"

    members: tuple[Evidence, ...] = ()
    severity: Severity | None = None
    title: str | None = None
    description: str | None = None
    category: str | None = None
    root_cause: RootCause | None = None
    corr_keys: tuple[str, ...] | None = None
    reason: str = ""
    moved_from: tuple[str, ...] = Field(
        default=(), description="incidents that had the members until now"
    )
    absorbed: tuple[str, ...] = Field(
        default=(), description="those of them that have none any more; each is cleared as merged"
    )
    departed: tuple[str, ...] = Field(
        default=(), description="anomaly ids of members that another incident has from now on"
    )
    inferred: str | None = Field(
        default=None, description="silent device that is probably the root; empty: none any more"
    )
    cleared: AlertsCleared | None = Field(
        default=None, description="alerts that recovered at ``ts``"
    )
    continues: str | None = Field(
        default=None,
        description="incident that an operator merged into this one; its members stay there",
    )
    recurrence: Recurrence | None = None
    reopens: bool = Field(
        default=False, description="the incident was over and goes on with these members"
    )
    quiet_since: UtcDatetime | None = Field(
        default=None, description="nothing more was seen since then, and it is not over"
    )
    announce: bool = Field(
        default=False, description="whether a person is to be told of this change"
    )
    joined: tuple[int, ...] = Field(
        default=(), description="revisions that this fact contains and that never come on their own"
    )
    affected_devices: tuple[str, ...] | None = Field(
        default=None, description="given when members departed"
    )
    affected_services: tuple[str, ...] | None = None

    def stamped(self, stage: str, at: datetime) -> Self:
        members = _stamp_members(self.members, stage, at)
        return self.but(stages=self.stages | {stage: at}, members=members)


class IncidentCleared(_LaterFact):
    """correlation-service publishes it when an incident is resolved.

    ``resolve_reason`` is ``recovered``, ``expired`` or ``merged``; *confidence* is below 1 when
    the end is inferred.
    """

    subject: ClassVar[str] = "incidents.cleared"

    resolve_reason: Text
    note: str = ""
    confidence: Fraction = 1.0
    merged_into: str | None = Field(default=None, description="the incident that has its members")


class IncidentTransitioned(Message):
    """incident-api publishes it when an operator or a rule changes an incident.

    ``change`` counts the transitions of one incident.
    """

    subject: ClassVar[str] = "incidents.transitioned"

    incident_id: Text
    change: Annotated[int, Field(ge=1)]
    revision: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="the newest fact of correlation-service that was known then"
    )
    kind: Literal["ack", "resolve", "reopen", "edit", "comment", "merge"]
    from_status: Status
    to_status: Status
    actor: str = "anonymous"
    comment: str = ""
    resolve_reason: str | None = None
    assignee: str | None = None
    severity: Severity | None = None
    title: str | None = None
    merged_into: str | None = None


class ProblemEdited(Message):
    """incident-api publishes it when an operator says which incidents are one problem.

    ``merge``: problem *into* has all occurrences of *problem_id* from now on. ``split``: incident
    *incident_id* and what comes like it are a problem of their own, *into*. ``change`` counts the
    edits of one problem.
    """

    subject: ClassVar[str] = "incidents.problem_edited"

    problem_id: Text
    change: Annotated[int, Field(ge=1)]
    kind: Literal["merge", "split"]
    into: str | None = None
    incident_id: str | None = None
    actor: str = "anonymous"
    comment: str = ""


class Citation(Record):
    """*kind* and *id* of the source of a claim."""

    kind: Literal["evidence", "incident", "runbook"]
    id: str


class LlmInsights(Record):
    """The explanation of an incident, by rules, from the cache or by the model."""

    root_cause: str
    impact: str = ""
    recommendations: tuple[str, ...] = ()
    narrative: str = ""
    confidence: Fraction = 0.0
    citations: tuple[Citation, ...] = ()
    source: Literal["rules", "cache", "llm"]
    model: str | None = None
    latency_ms: Annotated[float, Field(ge=0)] = 0.0
    of_revision: Annotated[int, Field(ge=1)] = Field(
        default=1, description="newest fact of correlation-service in the state it explains"
    )
    of_change: Annotated[int, Field(ge=0)] = Field(
        default=0, description="newest transition in that state"
    )
    missing: tuple[str, ...] = Field(
        default=(), description="what it was made without, such as ``model: its queue is full``"
    )


class SimilarIncident(Record):
    id: str
    score: Fraction
    title: str
    resolution: str | None = None


class EnrichedIncident(Incident):
    """llm-enricher publishes an incident again when it has explained it."""

    subject: ClassVar[str] = "incidents.enriched"

    llm_insights: LlmInsights
    similar_incidents: tuple[SimilarIncident, ...] = ()


class AuditEvent(Message):
    """Who did what, and with which result. Nothing publishes it yet."""

    subject: ClassVar[str] = "ops.audit"

    actor: str
    action: str
    target: str
    result: Literal["ok", "refused", "failed"] = "ok"
    detail: str = ""
    via: str = "api"


class LinkObserved(Message):
    """anomaly-detection publishes it when a line names a neighbour of its device, of one pair at
    most once an hour.

    *kind* is that of the evidence. *needs* says which end needs the other one, where the line says
    so. *sender*: who sent the line, by its address. *sending*: those of both that send lines.
    """

    subject: ClassVar[str] = "devices.link_observed"

    device: Annotated[Name, Field(min_length=1)]
    far: Annotated[Name, Field(min_length=1)]
    kind: Literal["lldp", "cdp", "dhcp", "arp", "ap_join", "bgp", "description", "relay"]
    needs: Literal["near", "far", ""] = ""
    port: str = Field(default="", description="of the device, as described there")
    said: Annotated[str, Field(min_length=1, max_length=200)]
    sender: Annotated[Name, Field(min_length=1)]
    sending: Annotated[tuple[Name, ...], Field(max_length=2)] = ()


class ActionRequested(Message):
    """A runbook action that somebody asked for. Nothing publishes it yet."""

    subject: ClassVar[str] = "actions.requested"

    action_id: Text
    action: Text
    incident_id: str | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    requested_by: str
    expires_at: UtcDatetime


class ActionCompleted(Message):
    """The result of an action. Nothing publishes it yet."""

    subject: ClassVar[str] = "actions.completed"

    action_id: Text
    result: Literal["ok", "failed", "expired", "refused"]
    output: str = ""


MESSAGES: tuple[type[Message], ...] = (
    LogEntry,
    MetricSample,
    AnomalyDetected,
    AnomalyCleared,
    EnrichedAnomaly,
    AnomalySuppressed,
    AnomalyDigested,
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
    ProblemEdited,
    EnrichedIncident,
    AuditEvent,
    LinkObserved,
    ActionRequested,
    ActionCompleted,
)
BY_SUBJECT: Mapping[str, type[Message]] = {kind.subject: kind for kind in MESSAGES}
