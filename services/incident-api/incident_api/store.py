"""The port to stored incidents. ``tests/contract/test_incident_store.py`` is its contract.

Every method raises Unavailable while the store is away. Pages go by position, not by number: they
neither repeat nor skip an entry while new ones arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from aiops_core.models import (
    Domain,
    Evidence,
    Incident,
    RootCause,
    Severity,
    Status,
    UtcDatetime,
)
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.rows import Batch, EventRow, micros

AnyOf = Query(description="Any of these.")
Word = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """The query parameters of a list of incidents. An empty one restricts nothing."""

    status: Annotated[tuple[Status, ...], AnyOf] = ()
    severity: Annotated[tuple[Severity, ...], AnyOf] = ()
    category: Word = ""
    ship_id: Word = ""
    service: Word = ""
    device_id: Word = ""
    tracking_id: Word = ""
    since: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or after this time.")
    ] = None
    until: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or before this time.")
    ] = None
    q: Annotated[
        str, Query(max_length=200, description="Text in the title, a device, a service or the id.")
    ] = ""

    def matches(self, incident: Incident) -> bool:
        """Whether *incident* fits all but the tracking id."""
        affected = (*incident.affected_devices, *incident.affected_services)
        return all(
            (
                not self.status or incident.status in self.status,
                not self.severity or incident.severity in self.severity,
                self.category in ("", incident.category),
                self.ship_id in ("", incident.ship_id),
                self.service in ("", *incident.affected_services),
                self.device_id.casefold()
                in ("", *(device.casefold() for device in incident.affected_devices)),
                not self.since or incident.last_seen >= self.since,
                not self.until or incident.first_seen <= self.until,
                self.q.casefold() in "\n".join((incident.title, *affected, incident.id)).casefold(),
            )
        )

    def page(
        self,
        incidents: Iterable[Incident],
        after: PagePosition | None,
        most: int,
        holding: Collection[str] = (),
    ) -> Sequence[Incident]:
        """Those that fit, as ``IncidentStore.page`` has them.

        *holding* are known to have the tracking id: memory lacks some ids of an incident.
        """
        found = [
            one
            for one in incidents
            if self.matches(one)
            and (not self.tracking_id or one.id in holding or self.tracking_id in lines_of(one))
        ]
        found.sort(key=place, reverse=True)
        return [one for one in found if not after or place(one) < after][:most]


def lines_of(incident: Incident) -> dict[str, None]:
    """The tracking ids that memory has, oldest first."""
    return dict.fromkeys((*incident.tracking_ids, *(one.tracking_id for one in incident.evidence)))


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


def place(incident: Incident | IncidentSummary) -> tuple[int, str]:
    """Its position in a list."""
    return micros(incident.created_at), incident.id


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
