"""The port to stored incidents. ``tests/contract/test_incident_store.py`` is its contract.

Every method raises Unavailable while the store is away. Pages go by position, not by number: they
neither repeat nor skip an entry while new ones arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from aiops_core.models import Domain, Evidence, RootCause, Severity, Status, UtcDatetime
from incident_api.folding import StoredIncident
from incident_api.rows import Batch, EventRow


class PagePosition(NamedTuple):
    """Where a page ended: the sort time in microseconds, and the id to order equal times."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """An empty field restricts nothing.

    Incidents had anomalies between *since* and *until*; *q* is text in the title, a device, a
    service or the id.
    """

    status: tuple[Status, ...] = ()
    severity: tuple[Severity, ...] = ()
    category: str = ""
    ship_id: str = ""
    service: str = ""
    device_id: str = ""
    tracking_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    q: str = ""


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


class IncidentStore(Protocol):
    async def write(self, batch: Batch) -> None:
        """Store all rows of *batch*. Repeating it adds nothing, even after half of it failed."""

    async def incident(self, incident_id: str) -> StoredIncident | None:
        """The newest version, its tracking ids left out."""

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        """Open and acknowledged incidents, last updated first."""

    async def page(
        self, where: IncidentFilter, after: PagePosition | None, most: int
    ) -> Sequence[IncidentSummary]:
        """Incidents by ``created_at`` and id, newest first, from *after* on."""

    async def tracking_ids(self, incident_id: str, most: int) -> Sequence[str]:
        """Of all members, oldest first; the newest when there are more than *most*."""

    async def evidence(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[Evidence]:
        """All members by ``ts`` and anomaly id, newest first, from *after* on."""

    async def timeline(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[EventRow]:
        """All facts by ``ts`` and event id, oldest first, from *after* on."""
