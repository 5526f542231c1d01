"""The changes that a status allows, and the facts that they make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from aiops_core.models import Incident, IncidentTransitioned, Status
from incident_api.folding import StoredIncident
from incident_api.problems import Problem

TransitionKind = Literal["ack", "resolve", "reopen", "edit", "comment", "merge"]

# Change -> status before -> status after. Any other status refuses the change.
NEXT: dict[TransitionKind, dict[Status, Status]] = {
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
MERGED = "merged into "  # prefix of the resolve reason of a merged incident


def transition(
    stored: StoredIncident,
    kind: TransitionKind,
    actor: str,
    now: datetime,
    details: Mapping[str, object],
) -> IncidentTransitioned | None:
    """The fact of the change, None when it would change nothing.

    Problem 409 when the incident's status does not allow it.
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
    """Problem 422 for a merge into itself, 409 when status or ship does not allow it."""
    if into.id == incident.id:
        raise Problem(422, "body.into: an incident cannot be merged into itself")
    if into.status not in NEXT["merge"]:
        raise Problem(409, f"incident {into.id} is {into.status}; reopen it first")
    if into.ship_id != incident.ship_id:
        raise Problem(409, f"incident {into.id} is of another ship, {into.ship_id}")
