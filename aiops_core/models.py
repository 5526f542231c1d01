"""The vocabulary of the platform: every message that crosses the bus, and nothing else.

One frozen class per subject. Times are timezone-aware and normalised to UTC. What is read may be of
a later release: unknown fields are dropped, and another minor version of the same major is read as
ours (decision 17). The HTTP API refuses unknown fields in its own classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha1
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar
from uuid import NAMESPACE_OID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
)

M = TypeVar("M", bound="Message")


def _to_utc(time: datetime) -> datetime:
    """With ``datetime.UTC`` itself: comparing times of two zone objects takes twenty times as long, and
    each parsed time has one of its own."""
    try:
        return time.astimezone(UTC)
    except OverflowError as exc:  # the first and the last day of the calendar
        raise ValueError("time has no equivalent in UTC") from exc


VERSION: Final = "3.0"  # of what this release writes; a field more is a minor version more
_READABLE = re.compile(r"3\.\d+")


def _as_ours(version: object) -> object:
    """Another minor version is passed on as ours, with those of its fields that we know."""
    if version == VERSION:
        return version
    if isinstance(version, str) and _READABLE.fullmatch(version):
        return VERSION
    raise ValueError(f"version {str(version)[:20]!r} is of another release, this one reads 3.x")


Version = Annotated[Literal["3.0"], BeforeValidator(_as_ours)]
UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str, Field(max_length=255)
]  # of a host, device or service; travels in every message
Fraction = Annotated[float, Field(ge=0, le=1)]
Stages = dict[str, UtcDatetime]

EVIDENCE_KEPT = 50  # newest evidence an incident carries; the rest is in ClickHouse
TRACKING_IDS_KEPT = 1000  # likewise

_set = object.__setattr__  # of what is frozen

FAST_PATH = ("detect", "enrich", "correlate", "store")


_OID = NAMESPACE_OID.bytes
# A digit of a digest -> the digit of an id in its place: the variant of RFC 4122 is its first two bits.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def derived_id(*cause: str) -> str:
    """The same id for the same cause on every delivery: ``uuid5(NAMESPACE_OID, ...)`` of its parts.

    Written out, because a message needs several and the module ``uuid`` takes five times as long.
    """
    name = "\x1f".join(cause).encode()
    text = sha1(_OID + name, usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


class _Ordered(StrEnum):
    """A string enum whose order is the order of declaration, so that ``max()`` is the worst."""

    @cached_property
    def rank(self) -> int:
        return type(self)._member_names_.index(self._name_)

    def _rank_of(self, other: str) -> int:
        kind = type(self)  # to call it with a member takes longer than all the rest
        return other.rank if isinstance(other, kind) else kind(other).rank

    def __lt__(self, other: str) -> bool:
        return self.rank < self._rank_of(other)

    def __le__(self, other: str) -> bool:
        return self.rank <= self._rank_of(other)

    def __gt__(self, other: str) -> bool:
        return self.rank > self._rank_of(other)

    def __ge__(self, other: str) -> bool:
        return self.rank >= self._rank_of(other)


class Severity(_Ordered):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Level(_Ordered):
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


class Record(BaseModel):
    """A frozen value. Unknown fields are dropped when it is read; mypy refuses to write them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of_valid(cls, base: Record | None = None, /, **fields: Any) -> Self:
        """With the fields of *base* and *fields*: all that there are, in their order, and each known to
        be valid, because it comes from a record or was made by us. To validate them takes twice to seven
        times as long; what others wrote needs that."""
        fields = fields if base is None else vars(base) | fields
        return cls._made(fields, set(fields))

    def but(self, **valid: Any) -> Self:
        """A copy with other values, as ``model_copy`` makes, in half its time."""
        return self._made(self.__dict__ | valid, self.__pydantic_fields_set__ | valid.keys())

    @classmethod
    def _made(cls, fields: dict[str, Any], given: set[str]) -> Self:
        """As ``model_construct``: a record has no extra fields, no private ones and no aliases."""
        record = cls.__new__(cls)
        _set(record, "__dict__", fields)
        _set(record, "__pydantic_fields_set__", given)
        _set(record, "__pydantic_extra__", None)
        _set(record, "__pydantic_private__", None)
        return record


class Message(Record):
    """What every message carries; ``tracking_id`` follows one cause through the whole pipeline."""

    subject: ClassVar[str]

    schema_version: Version = VERSION
    tracking_id: Text
    ship_id: Text
    ts: UtcDatetime
    stages: Stages = Field(default_factory=dict)

    def derive(self, kind: type[M], /, **fields: Any) -> M:
        """Make a message caused by this one: same ship, tracking id, event time and stages."""
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
    """Written by Vector, ``aiops replay`` and other clients."""

    # Whatever a client sends here becomes part of what services remember.
    tracking_id: Annotated[Name, Field(min_length=1)]
    ship_id: Annotated[Name, Field(min_length=1)]
    host: Annotated[Name, Field(min_length=1)]
    device_id: Name | None = None
    service: Name = "unknown"
    labels: dict[str, str] = Field(default_factory=dict)


class LogEntry(_Ingress):
    """One log line. ``ts`` is the line's own time, ``stages.ingest`` when it reached the platform."""

    subject: ClassVar[str] = "logs.ingested"

    level: Level = Level.INFO
    msg: str
    source: str = "unknown"


class MetricSample(_Ingress):
    """One reading of one metric, in *unit*."""

    subject: ClassVar[str] = "metrics.sampled"

    metric: Annotated[Name, Field(min_length=1)]
    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: str | None = None


class Anomaly(Message):
    """What detection found; the part that ``AnomalyDetected`` and ``EnrichedAnomaly`` share."""

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
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    template_id: str | None = None
    template: str | None = None
    reason: str = ""
    meta: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def anomaly_id(self) -> str:
        """Identity of the finding: one line may be found by several detectors."""
        return derived_id(self.tracking_id, self.detector, self.anomaly_type)

    @property
    def device(self) -> str:
        """The device that is affected; the host stands in for one that the inventory lacks."""
        return self.device_id or self.host


class AnomalyDetected(Anomaly):
    """A line or reading that a detector finds wrong; ``reason`` says why, for a person."""

    subject: ClassVar[str] = "anomaly.detected"


class AnomalyCleared(Message):
    """What detection had found is over: a positive sign that things are well again, at ``ts``.

    It is about every anomaly of *anomaly_types* on the device (its service too, unless ``unknown``) up
    to ``ts``. Silence is never a reason to send one.
    """

    subject: ClassVar[str] = "anomaly.cleared"

    device_id: str | None = None
    host: Text
    service: str = "unknown"
    anomaly_types: tuple[Text, ...] = Field(min_length=1)
    detector: Text
    metric: str | None = None
    peer: str | None = None
    started: UtcDatetime | None = Field(default=None, description="when the episode began")
    reason: Text

    @property
    def device(self) -> str:
        return self.device_id or self.host


class Device(Record):
    """One row of the inventory; ``upstream`` are the devices it needs to work."""

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
    """The newest incident that the affected device or service had before."""

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
    """What is known around an anomaly. ``failed`` names the look-ups that make it ``partial``.

    ``ship_mode`` and ``maintenance`` are as of the anomaly's own time.
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
    """The anomaly with its context; ``severity`` is recomputed, ``severity_reason`` says from what."""

    subject: ClassVar[str] = "anomaly.enriched"

    context: AnomalyContext = Field(default_factory=AnomalyContext)
    severity_reason: str = ""
    tags: tuple[str, ...] = ()


HiddenBy = Literal["rule", "silence", "inhibition", "outage", "maintenance"]


class AnomalySuppressed(Message):
    """An anomaly that makes no incident, and what decided so: *by* is the id of the rule, silence or
    outage; *source* the incident that explains it (inhibition) or the maintenance window."""

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
    alerts: tuple[str, ...] = Field(
        default=(), description="id of its alert, then of alerts that are one with that from now on"
    )
    cleared_at: UtcDatetime | None = Field(
        default=None, description="newest recovery of its series that was known when it came"
    )
    stages: Stages = Field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.device_id or self.host


class TimelineEntry(Record):
    """Something that happened to an incident; ``actor`` is a service or a user."""

    ts: UtcDatetime
    kind: str
    text: str
    actor: str = ""


class RootCause(Record):
    """The most probable origin of an incident, with the evidence it rests on."""

    device: str | None = None
    service: str | None = None
    anomaly: str | None = Field(default=None, description="anomaly_id of the evidence")
    reason: str = ""
    confidence: Fraction = 0.0


def _stamp_members(members: tuple[Evidence, ...], stage: str, at: datetime) -> tuple[Evidence, ...]:
    return tuple(m.but(stages=m.stages | {stage: at}) for m in members)


class Incident(Message):
    """Anomalies that belong together. On ``incidents.created`` it is the first fact of an incident;
    at the API it is the fold of all its facts."""

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
    revision: Annotated[int, Field(ge=1)] = 1

    def stamped(self, stage: str, at: datetime) -> Self:
        evidence = _stamp_members(self.evidence, stage, at)
        return self.but(stages=self.stages | {stage: at}, evidence=evidence)


class _Fact(Message):
    """Something that happened to one incident. ``revision`` counts the facts of one incident, from 1
    (its creation), as their single writer, correlation-service, decided them."""

    incident_id: Text
    revision: Annotated[int, Field(ge=2)]


class AlertsCleared(Record):
    """Alerts (by id) that a recovery ended; an empty field restricts the series it is about to nothing."""

    alerts: tuple[str, ...]
    service: str = ""
    metric: str = ""
    peer: str = ""


class IncidentUpdated(_Fact):
    """Anomalies joined an incident or left it; the other fields hold what is true from now on (None: as
    before). A member that was in another incident has moved: it is in the last that named it."""

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


class IncidentCleared(_Fact):
    """An incident is over: ``recovered``, ``expired``, ``sender_lost`` or ``merged``."""

    subject: ClassVar[str] = "incidents.cleared"

    resolve_reason: Text
    note: str = ""
    merged_into: str | None = Field(default=None, description="the incident that has its members")


class IncidentTransitioned(Message):
    """An operator or a rule changed an incident through the API. ``change`` counts these per incident."""

    subject: ClassVar[str] = "incidents.transitioned"

    incident_id: Text
    change: Annotated[int, Field(ge=1)]
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


class Citation(Record):
    """A claim's ground: *kind* and *id* of something that exists."""

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


class SimilarIncident(Record):
    id: str
    score: Fraction
    title: str
    resolution: str | None = None


class EnrichedIncident(Incident):
    """The incident with its explanation."""

    subject: ClassVar[str] = "incidents.enriched"

    llm_insights: LlmInsights
    similar_incidents: tuple[SimilarIncident, ...] = ()


class AuditEvent(Message):
    """Who did what, through which door, with which result."""

    subject: ClassVar[str] = "ops.audit"

    actor: str
    action: str
    target: str
    result: Literal["ok", "refused", "failed"] = "ok"
    detail: str = ""
    via: str = "api"


class ActionRequested(Message):
    subject: ClassVar[str] = "actions.requested"

    action_id: Text
    action: Text
    incident_id: str | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    requested_by: str
    expires_at: UtcDatetime


class ActionCompleted(Message):
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
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
    EnrichedIncident,
    AuditEvent,
    ActionRequested,
    ActionCompleted,
)
BY_SUBJECT: Mapping[str, type[Message]] = {kind.subject: kind for kind in MESSAGES}
