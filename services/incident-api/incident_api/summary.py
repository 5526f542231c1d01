"""An incident without evidence, timeline and tracking ids, for lists."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from aiops_core.models import Domain, RootCause, Severity, Status, UtcDatetime
from incident_api.rows import IncidentRow, moment

TIMES = ("first_seen", "last_seen", "created_at", "updated_at")


class IncidentSummary(BaseModel):
    """An incident in a list; evidence, timeline and tracking ids are at its own address."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    ship_id: str
    title: str
    description: str
    category: str
    severity: Severity
    status: Status
    domain: Domain
    affected_services: tuple[str, ...]
    affected_devices: tuple[str, ...]
    fingerprint: str
    root_cause: RootCause | None
    anomaly_count: int
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    created_at: UtcDatetime
    updated_at: UtcDatetime
    resolve_reason: str | None
    assignee: str | None

    @classmethod
    def of_row(cls, row: IncidentRow) -> IncidentSummary:
        return cls.of_columns({name: getattr(row, name) for name in cls.model_fields})

    @classmethod
    def of_columns(cls, columns: dict[str, object]) -> IncidentSummary:
        """From columns of ``aiops.incidents`` by name, times in microseconds."""
        times = {name: moment(int(str(columns[name]))) for name in TIMES}
        cause = str(columns["root_cause"])
        rest = {
            "root_cause": RootCause.model_validate_json(cause) if cause else None,
            "resolve_reason": columns["resolve_reason"] or None,
            "assignee": columns["assignee"] or None,
        }
        return cls.model_validate(columns | times | rest)
