"""The course of an incident in a few sentences, from its present state and the facts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from aiops_core.models import Incident
from llm_enricher.rules.case import IncidentCase, Item

NAMED_MOST = 5
FACTS_SHOWN = 2
MSG_SHOWN = 160  # characters


def narrative(case: IncidentCase, facts: Sequence[Item]) -> Iterator[str]:
    """Extent and time; the beginning; the origin; *facts* that the cause rests on; what is fine."""
    incident = case.incident
    yield f"{incident.severity.capitalize()} {incident.domain} incident {_extent(incident)}."
    first = min(incident.evidence, key=lambda e: e.ts, default=None)
    if first:
        yield f"It began on {first.device} with “{shortened(first.msg)}”."
    if len(incident.affected_devices) > 1:
        yield f"Affected devices: {listed(incident.affected_devices)}."
    root = incident.root_cause
    if root and root.device and root.reason and len(incident.affected_devices) > 1:
        yield f"{root.device} is taken for the origin: {root.reason.rstrip('.')}."
    for item in [one for one in facts if not first or one.id != first.anomaly_id][:FACTS_SHOWN]:
        yield f"{_place(item)} at {clock(item.ts)}: “{shortened(item.text)}”."
    if fine := [item for item in case.context if item.fine]:
        checked = (f"{_place(item)}: “{shortened(item.text)}”" for item in fine[:FACTS_SHOWN])
        yield f"Checked and as it should be: {'; '.join(checked)}."
    if recovered := [item for item in case.members if item.cleared]:
        devices = tuple(dict.fromkeys(item.device for item in recovered))
        yield f"Recovered meanwhile: {listed(devices)}."


def _place(item: Item) -> str:
    return item.device or item.service or f"the {item.kind}"


def _extent(incident: Incident) -> str:
    many = f"{incident.anomaly_count} anomal{'y' if incident.anomaly_count == 1 else 'ies'}"
    if incident.first_seen == incident.last_seen:
        return f"with {many} at {_day_and_clock(incident.first_seen)}"
    first, last = _day_and_clock(incident.first_seen), _day_and_clock(incident.last_seen)
    return f"with {many} from {first} to {last}"


def _day_and_clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"


def shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MSG_SHOWN else text[: MSG_SHOWN - 1] + "…"


def listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MOST
    return ", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")
