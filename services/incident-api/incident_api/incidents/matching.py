"""Pure: which incidents in memory a list is about; the store's own conditions say the same in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from aiops_core.models import Incident
from incident_api.rows import micros
from incident_api.store import IncidentFilter, Position


def page(
    incidents: Iterable[Incident],
    where: IncidentFilter,
    after: Position | None,
    most: int,
    holding: Collection[str] = (),
) -> Sequence[Incident]:
    """Those of *incidents* that *where* asks for, newest first, from *after* on. Those *holding* its line are known
    from elsewhere: memory has not all lines of an incident."""
    found = [
        one
        for one in incidents
        if matches(one, where) and (_has_line(one, where.tracking_id) or one.id in holding)
    ]
    found.sort(key=place, reverse=True)
    return [one for one in found if not after or place(one) < after][:most]


def place(incident: Incident) -> tuple[int, str]:
    return micros(incident.created_at), incident.id


def matches(incident: Incident, where: IncidentFilter) -> bool:
    """Whether all of *where* holds that a list of incidents can tell, i.e. all but the line."""
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
    """The tracking ids of members that are known in memory, oldest first."""
    return dict.fromkeys((*incident.tracking_ids, *(one.tracking_id for one in incident.evidence)))


def _text(incident: Incident) -> str:
    affected = (*incident.affected_devices, *incident.affected_services)
    return "\n".join((incident.title, *affected, incident.id)).casefold()
