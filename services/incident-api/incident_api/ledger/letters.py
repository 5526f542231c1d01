"""Anomalies among the dead letters: read from the bus, told by what the buried message was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import ValidationError

from aiops_core.errors import Unavailable
from aiops_core.models import (
    BY_SUBJECT,
    Anomaly,
    AnomalyDetected,
    AnomalySuppressed,
    EnrichedAnomaly,
    Incident,
    IncidentUpdated,
    Message,
)
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT, Bus, Stored
from aiops_core.runtime.unreadable import skip
from incident_api.ledger.models import Buried

# Who ends an anomaly by burying which messages. What incident-api's history cannot store of an anomaly
# is not its end: the same anomaly goes its way through the other services.
ENDINGS = {
    "dead.enrichment-service": (AnomalyDetected.subject,),
    "dead.correlation-service": (EnrichedAnomaly.subject,),
    "dead.incident-api": (Incident.subject, IncidentUpdated.subject, AnomalySuppressed.subject),
}


class Letters:
    """The dead letters that a bus keeps."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def buried(self, since: datetime) -> Sequence[Buried]:
        """Anomalies that were buried since then, each once. Raises Unavailable without NATS."""
        if not self._bus.connected:
            raise Unavailable("NATS is away")
        found: dict[str, Buried] = {}
        async for letter in self._bus.history(list(ENDINGS), since=since):
            addressed = letter.headers.get(SUBJECT)
            if addressed is None:
                entry = f"{letter.subject} {letter.sequence}"
                skip("incident-api.dead_letters", entry, "does not say where it was addressed")
            elif addressed in ENDINGS[letter.subject]:
                found |= {one.anomaly_id: one for one in anomalies_of(letter)}
        return list(found.values())


def anomalies_of(letter: Stored) -> Iterator[Buried]:
    """The anomalies that a buried message is about. Pure.

    Bytes that are no message have no id of their own; they stand for one anomaly, named by its place
    in the stream, so that they are not passed over in silence.
    """
    for anomaly_id, tracking_id in _ids(letter) or [(letter.headers.get(SOURCE, ""), "")]:
        yield Buried(
            anomaly_id=anomaly_id,
            tracking_id=tracking_id,
            service=letter.subject.removeprefix("dead."),
            reason=letter.headers.get(REASON, ""),
            at=letter.at,
        )


def _ids(letter: Stored) -> list[tuple[str, str]]:
    try:
        message = BY_SUBJECT[letter.headers[SUBJECT]].model_validate_json(letter.data)
    except ValidationError:
        return []
    return _anomaly_ids(message)


def _anomaly_ids(message: Message) -> list[tuple[str, str]]:
    match message:
        case Anomaly() | AnomalySuppressed():
            return [(message.anomaly_id, message.tracking_id)]
        case Incident(evidence=members) | IncidentUpdated(members=members):
            return [(member.anomaly_id, member.tracking_id) for member in members]
    return []
