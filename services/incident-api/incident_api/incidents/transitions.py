"""Pure: which change is allowed in which status, and the fact that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from aiops_core.models import Incident, IncidentTransitioned, Status
from incident_api.folding import StoredIncident
from incident_api.problems import Problem

Kind = Literal["ack", "resolve", "reopen", "edit", "comment", "merge"]

# From which status a change leads where; a status it does not name refuses it.
NEXT: dict[Kind, dict[Status, Status]] = {
    "ack": {Status.OPEN: Status.ACK, Status.ACK: Status.ACK},
    "resolve": {
        Status.OPEN: Status.RESOLVED,
        Status.ACK: Status.RESOLVED,
        Status.RESOLVED: Status.RESOLVED,
    },
    "reopen": {Status.RESOLVED: Status.OPEN, Status.SUPPRESSED: Status.OPEN},
    "merge": {Status.OPEN: Status.RESOLVED, Status.ACK: Status.RESOLVED},
    "edit": {status: status for status in Status},
    "comment": {status: status for status in Status},
}
HINT = {
    "ack": "reopen it first",
    "resolve": "reopen it first",
    "reopen": "it is not closed",
    "merge": "only one that is open can be merged into another",
}
MERGED = "merged into "  # begins the resolve reason of an incident that another continues


def transition(
    stored: StoredIncident, kind: Kind, actor: str, now: datetime, details: Mapping[str, object]
) -> IncidentTransitioned | None:
    """The fact that *kind* makes of the incident, None when all of it is so already.

    A Problem (409) when its status does not allow it.
    """
    incident = stored.incident
    if kind == "merge" and incident.resolve_reason == f"{MERGED}{details.get('merged_into')}":
        return None
    if kind == "reopen" and (incident.resolve_reason or "").startswith(MERGED):
        raise Problem(409, f"incident {incident.id} was {incident.resolve_reason}; go on there")
    after = NEXT[kind].get(incident.status)
    if after is None:
        raise Problem(409, f"incident {incident.id} is {incident.status}; {HINT[kind]}")
    if kind in ("ack", "resolve") and after is incident.status and not details.get("comment"):
        return None
    fact = {
        "tracking_id": incident.tracking_id,
        "ship_id": incident.ship_id,
        "ts": now,
        "incident_id": incident.id,
        "change": stored.change + 1,
        "kind": kind,
        "from_status": incident.status,
        "to_status": after,
        "actor": actor,
    }
    return IncidentTransitioned.model_validate(fact | dict(details), extra="forbid")


def check_merge(incident: Incident, into: Incident) -> None:
    """A Problem when *incident* cannot go on in *into*: 422 for itself, 409 for what the two are."""
    if into.id == incident.id:
        raise Problem(422, "body.into: an incident cannot be merged into itself")
    if into.status not in NEXT["merge"]:
        raise Problem(409, f"incident {into.id} is {into.status}; reopen it first")
    if into.ship_id != incident.ship_id:
        raise Problem(409, f"incident {into.id} is of another ship, {into.ship_id}")
