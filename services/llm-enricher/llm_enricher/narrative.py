"""A few sentences about an incident, from its own fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from aiops_core.models import Incident

NAMED_MOST = 5
MSG_SHOWN = 160  # characters


def narrative(incident: Incident, root_cause: str) -> str:
    """Time and extent; the beginning; affected devices; the cause."""
    return " ".join(_sentences(incident, root_cause))


def _sentences(incident: Incident, root_cause: str) -> Iterator[str]:
    yield f"{incident.severity.capitalize()} {incident.domain} incident {_extent(incident)}."
    if incident.evidence:
        first = min(incident.evidence, key=lambda e: e.ts)
        yield f"It began on {first.device} with “{_shortened(first.msg)}”."
    if len(incident.affected_devices) > 1:
        yield f"Affected devices: {_listed(incident.affected_devices)}."
    yield root_cause
    root = incident.root_cause
    if root and root.device and root.reason and len(incident.affected_devices) > 1:
        yield f"{root.device} is taken for the origin: {root.reason.rstrip('.')}."


def _extent(incident: Incident) -> str:
    many = f"{incident.anomaly_count} anomal{'y' if incident.anomaly_count == 1 else 'ies'}"
    if incident.first_seen == incident.last_seen:
        return f"with {many} at {_clock(incident.first_seen)}"
    return f"with {many} from {_clock(incident.first_seen)} to {_clock(incident.last_seen)}"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MSG_SHOWN else text[: MSG_SHOWN - 1] + "…"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_MOST
    return ", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")
