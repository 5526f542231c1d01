"""Filters and pages over incidents in memory, as the store has them in SQL. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from aiops_core.models import Incident
from incident_api.rows import micros
from incident_api.store import IncidentFilter, PagePosition


def page(
    incidents: Iterable[Incident],
    where: IncidentFilter,
    after: PagePosition | None,
    most: int,
    holding: Collection[str] = (),
) -> Sequence[Incident]:
    """The incidents that fit *where*, newest first, from *after* on.

    *holding* are known to have the tracking id of *where*: memory lacks some ids of an incident.
    """
    found = [
        one
        for one in incidents
        if matches(one, where) and (one.id in holding or _has_line(one, where.tracking_id))
    ]
    found.sort(key=place, reverse=True)
    return [one for one in found if not after or place(one) < after][:most]


def place(incident: Incident) -> tuple[int, str]:
    return micros(incident.created_at), incident.id


def matches(incident: Incident, where: IncidentFilter) -> bool:
    """Whether *incident* fits all of *where* but the tracking id."""
    return all(
        (
            not where.status or incident.status in where.status,
            not where.severity or incident.severity in where.severity,
            where.category in ("", incident.category),
            where.ship_id in ("", incident.ship_id),
            where.service in ("", *incident.affected_services),
            where.device_id in ("", *incident.affected_devices),
            not where.since or incident.last_seen >= where.since,
            not where.until or incident.first_seen <= where.until,
            where.q.casefold() in _text(incident),
        )
    )


def _has_line(incident: Incident, tracking_id: str) -> bool:
    return not tracking_id or tracking_id in lines_of(incident)


def lines_of(incident: Incident) -> dict[str, None]:
    """The tracking ids that memory has, oldest first."""
    return dict.fromkeys((*incident.tracking_ids, *(one.tracking_id for one in incident.evidence)))


def _text(incident: Incident) -> str:
    affected = (*incident.affected_devices, *incident.affected_services)
    return "\n".join((incident.title, *affected, incident.id)).casefold()
