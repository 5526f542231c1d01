"""Where every anomaly ended, by the published facts."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from aiops_core.models import BY_SUBJECT, AnomalySuppressed, Incident, IncidentUpdated, Message
from aiops_core.runtime.bus import Bus
from aiops_lab.bench.ledger import Places


async def published(bus: Bus, since: datetime | None = None) -> Places:
    """By the facts in the streams; an anomaly that moved is in its last incident only."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    kinds = (Incident, IncidentUpdated, AnomalySuppressed)
    async for stored in bus.history([kind.subject for kind in kinds], since=since):
        fact = BY_SUBJECT[stored.subject].model_validate_json(stored.data)
        for tracking_id, incident, before in _memberships(fact):
            if before in places[tracking_id]:
                places[tracking_id].remove(before)
            places[tracking_id].append(incident)
    return places


def _memberships(fact: Message) -> list[tuple[str, str, str | None]]:
    """Tracking id, where it is now, and where it was before."""
    match fact:
        case Incident():
            return [(m.tracking_id, fact.id, m.moved_from) for m in fact.evidence]
        case IncidentUpdated():
            return [(m.tracking_id, fact.incident_id, m.moved_from) for m in fact.members]
        case AnomalySuppressed():
            return [(fact.tracking_id, f"suppressed by {fact.by}", None)]
    return []
