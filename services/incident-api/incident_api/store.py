"""The port to stored incidents. ``tests/contract/test_incident_store.py`` is its contract.

Every method raises Unavailable while the store is away. Pages go by position, not by number: they
neither repeat nor skip an entry while new ones arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from aiops_core.models import (
    Domain,
    Evidence,
    Incident,
    ProblemEdited,
    RootCause,
    Severity,
    Status,
    UtcDatetime,
)
from aiops_core.standing import MERGED
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.rows import Batch, EventRow, micros

AnyOf = Query(description="Any of these.")
Word = Annotated[str, Query(max_length=200)]
Order = Literal["newest", "longest_quiet"]
AS_NAMED = ProblemHomes()  # nobody has merged or split a problem


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
    problem_id: Annotated[
        str, Query(max_length=200, description="Occurrences of this problem.")
    ] = ""
    spread: Annotated[
        str, Query(max_length=200, description="Of this spread, on whatever device.")
    ] = ""
    quiet: Annotated[
        bool | None,
        Query(description="Open ones of which nothing more was seen, or all but these."),
    ] = None
    since: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or after this time.")
    ] = None
    until: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or before this time.")
    ] = None
    q: Annotated[
        str, Query(max_length=200, description="Text in the title, a device, a service or the id.")
    ] = ""
    order: Annotated[
        Order,
        Query(description="`longest_quiet`: only those that are quiet, the longest first."),
    ] = "newest"

    def matches(self, incident: Incident, homes: ProblemHomes = AS_NAMED) -> bool:
        """Whether *incident* fits all but the tracking id."""
        is_quiet = incident.quiet_since is not None
        affected = (*incident.affected_devices, *incident.affected_services)
        return all(
            (
                not self.status or incident.status in self.status,
                not self.severity or incident.severity in self.severity,
                self.category in ("", incident.category),
                self.ship_id in ("", incident.ship_id),
                self.service in ("", *incident.affected_services),
                self.problem_id in ("", problem_of(incident, homes)),
                self.spread in ("", spread_of(incident)),
                self.quiet in (None, is_quiet),
                is_quiet or self.order == "newest",
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
        homes: ProblemHomes = AS_NAMED,
    ) -> Sequence[Incident]:
        """Those that fit, as ``IncidentStore.page`` has them.

        *holding* are known to have the tracking id: memory lacks some ids of an incident.
        """
        found = [
            one
            for one in incidents
            if self.matches(one, homes)
            and (not self.tracking_id or one.id in holding or self.tracking_id in lines_of(one))
        ]
        ordered = self.sorted(found)
        return [one for one in ordered if not after or self._is_beyond(one, after)][:most]

    def sorted(self, incidents: Iterable[L]) -> list[L]:
        return sorted(incidents, key=self.place, reverse=self.order == "newest")

    def place(self, incident: Incident | IncidentSummary) -> tuple[int, str]:
        """Its position in a list of this order."""
        at = incident.created_at if self.order == "newest" else incident.quiet_since
        return micros(at) if at else 0, incident.id

    def _is_beyond(self, incident: Incident, after: PagePosition) -> bool:
        at = self.place(incident)
        return at < after if self.order == "newest" else at > after


def lines_of(incident: Incident) -> dict[str, None]:
    """The tracking ids that memory has, oldest first."""
    return dict.fromkeys((*incident.tracking_ids, *(one.tracking_id for one in incident.evidence)))


def problem_of(incident: Incident, homes: ProblemHomes) -> str | None:
    """The problem that it is an occurrence of, if correlation-service named one."""
    said = incident.recurrence
    return homes.of(said.problem_id, incident.id) if said else None


def spread_of(incident: Incident) -> str:
    """The spread that its newest occurrence is of; empty for none, or when it was merged."""
    said = incident.recurrence
    is_merged = (incident.resolve_reason or "").startswith(MERGED)
    return said.spread if said and not is_merged else ""


def place_of(incident: Incident) -> str:
    """The device that it counts for in a spread: that of its root, else the first."""
    root = incident.root_cause.device if incident.root_cause else None
    return root or next(iter(incident.affected_devices), "")


def spread_places(
    incidents: Iterable[Incident], homes: ProblemHomes = AS_NAMED
) -> list[tuple[str, str]]:
    """The spread and the device of each problem, which are those of its newest incident."""
    newest: dict[str, Incident] = {}
    for one in sorted(incidents, key=lambda one: (one.last_seen, one.id)):
        if home := problem_of(one, homes):
            newest[home] = one
    return [(spread_of(one), place_of(one)) for one in newest.values()]


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
    problem_id: str | None = Field(None, description="The problem that it is an occurrence of.")
    occurrence: int | None = Field(None, description="How many times the problem has come now.")
    cadence: str = Field("", examples=["daily at 04:02"])
    quiet_since: UtcDatetime | None = Field(
        None, description="Still open, though nothing more was seen since then."
    )
    spread: str | None = Field(
        None, description="What it is one of: incidents of one kind on several devices share it."
    )
    spread_devices: int = Field(0, description="On how many devices that is; 0 on too few.")

    @classmethod
    def of(cls, incident: Incident, homes: ProblemHomes = AS_NAMED) -> Self:
        said = incident.recurrence
        return cls.model_validate(incident).model_copy(
            update={
                "problem_id": problem_of(incident, homes),
                "occurrence": said.occurrence if said else None,
                "cadence": said.cadence if said else "",
                "spread": spread_of(incident) or None,
            }
        )


L = TypeVar("L", Incident, IncidentSummary)


class IncidentStore(Protocol):
    async def write(self, batch: Batch) -> None:
        """Store all rows of *batch*. Repeating it adds nothing, even after half of it failed."""

    async def incident(self, incident_id: str) -> StoredIncident | None:
        """The newest version, its tracking ids left out."""

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        """Open and acknowledged incidents, last updated first."""

    async def page(
        self,
        where: IncidentFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes = AS_NAMED,
    ) -> Sequence[IncidentSummary]:
        """Incidents in the order of *where*, by time and id, from *after* on. Their problems are
        those of *homes*."""

    async def spreads(
        self, named: Collection[str], least: int, homes: ProblemHomes = AS_NAMED
    ) -> Mapping[str, int]:
        """On how many devices those are that are on *least* or more."""

    async def edits(self) -> Sequence[ProblemEdited]:
        """What persons said about problems."""

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
