"""Dead letters about anomalies, and detection's count of anomalies, from the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import ValidationError

from aiops_core.models import (
    BY_SUBJECT,
    Anomaly,
    AnomalyDetected,
    AnomalyDigested,
    AnomalySuppressed,
    EnrichedAnomaly,
    Incident,
    IncidentUpdated,
    Message,
)
from aiops_core.observability.tally import BUCKET, Tally, decode
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT, Bus, Stored
from aiops_core.runtime.unreadable import skip
from incident_api.ledger.models import DeadAnomaly
from incident_api.outage import ensure_connected

# Dead letters that end an anomaly: of which service, and of which messages. An anomaly that
# incident-api's history could not store has not ended: the other services have it too.
ENDINGS = {
    "dead.enrichment-service": (AnomalyDetected.subject,),
    "dead.correlation-service": (EnrichedAnomaly.subject,),
    "dead.incident-api": (
        Incident.subject,
        IncidentUpdated.subject,
        AnomalySuppressed.subject,
        AnomalyDigested.subject,
    ),
}


class BrokerRecords:
    """Every method raises Unavailable while NATS is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def dead_anomalies(self, since: datetime) -> Sequence[DeadAnomaly]:
        """Anomalies that ended as a dead letter since then, each once."""
        ensure_connected(self._bus)
        found: dict[str, DeadAnomaly] = {}
        async for dead_letter in self._bus.history(list(ENDINGS), since=since):
            addressed = dead_letter.headers.get(SUBJECT)
            if addressed is None:
                entry = f"{dead_letter.subject} {dead_letter.sequence}"
                skip("incident-api.dead_letters", entry, "does not say where it was addressed")
            elif addressed in ENDINGS[dead_letter.subject]:
                found |= {one.anomaly_id: one for one in anomalies_of(dead_letter)}
        return list(found.values())

    async def count_dead_letters(self, subjects: Sequence[str], since: datetime) -> int:
        ensure_connected(self._bus)
        return len([1 async for _ in self._bus.history(list(subjects), since=since)])

    async def detected(self) -> Tally:
        """Anomalies that detection has published, by the minute of their stage ``detect``."""
        ensure_connected(self._bus)
        return decode(await self._bus.bucket(BUCKET).all())


def anomalies_of(dead_letter: Stored) -> Iterator[DeadAnomaly]:
    """The anomalies that a dead letter is about. Pure.

    An undecodable message has no ids. It counts as one anomaly, named by its place in the stream.
    """
    for anomaly_id, tracking_id in _ids(dead_letter) or [(dead_letter.headers.get(SOURCE, ""), "")]:
        yield DeadAnomaly(
            anomaly_id=anomaly_id,
            tracking_id=tracking_id,
            service=dead_letter.subject.removeprefix("dead."),
            reason=dead_letter.headers.get(REASON, ""),
            at=dead_letter.at,
        )


def _ids(dead_letter: Stored) -> list[tuple[str, str]]:
    try:
        kind = BY_SUBJECT[dead_letter.headers[SUBJECT]]
        return _anomaly_ids(kind.model_validate_json(dead_letter.data))
    except ValidationError:
        return []


def _anomaly_ids(message: Message) -> list[tuple[str, str]]:
    match message:
        case Anomaly() | AnomalySuppressed() | AnomalyDigested():
            return [(message.anomaly_id, message.tracking_id)]
        case Incident(evidence=members) | IncidentUpdated(members=members):
            return [(member.anomaly_id, member.tracking_id) for member in members]
    return []
