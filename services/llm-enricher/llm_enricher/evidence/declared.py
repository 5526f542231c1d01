"""What people declared about the ship, as facts: its mode, maintenance, outages of links. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiops_core.models import Incident
from aiops_core.suppression.ship import Ship
from llm_enricher.question import ContextFact


def declared(
    ship: Ship, incident: Incident, upstream: Mapping[str, Sequence[str]]
) -> Iterator[ContextFact]:
    """What held when *incident* began; *upstream* are devices that each device depends on."""
    began = incident.first_seen
    if change := ship.mode.at(began):
        text = f"the ship is in mode {change.mode} since {change.since:%Y-%m-%d %H:%M} UTC"
        yield ContextFact(
            id=f"mode:{change.since.isoformat()}",
            kind="maintenance",
            ts=change.since,
            text=text,
            fine=True,
        )
    services = incident.affected_services or ("",)
    for window in ship.maintenance:
        concerned = [
            device
            for device in incident.affected_devices
            if any(
                window.concerns(device, one, tuple(upstream.get(device, ()))) for one in services
            )
        ]
        if window.holds(began) and concerned:
            yield ContextFact(
                id=f"maintenance:{window.id}",
                kind="maintenance",
                ts=window.start,
                device=concerned[0],
                text=f"maintenance by {window.owner} until {window.end:%H:%M} UTC: {window.reason}",
            )
    for outage in ship.outages:
        if outage.holds(began):
            yield ContextFact(
                id=f"outage:{outage.id}",
                kind="maintenance",
                ts=outage.start,
                device=outage.device_id,
                text=f"declared outage ({outage.kind}) until {outage.end:%H:%M} UTC, as"
                f" {outage.source} says: {outage.reason}",
            )
