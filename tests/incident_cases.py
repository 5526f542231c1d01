"""Messages of one ship's noon, for the tests of incident-api."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiops_core.models import (
    AnomalyDetected,
    AnomalyDigested,
    AnomalySuppressed,
    EnrichedAnomaly,
    EnrichedIncident,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    LlmInsights,
    Message,
    SimilarIncident,
    derived_id,
)
from aiops_core.runtime.service import Service
from aiops_core.runtime.storing import Storing
from incident_api.history import History
from incident_api.recorder import Recorder
from incident_api.store import IncidentStore
from tests.runtime_cases import received

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def stages(n: float) -> dict[str, datetime]:
    """Ingested at second *n*, a millisecond per stage."""
    names = ("ingest", "detect", "enrich", "correlate")
    return {name: at(n + i / 1000) for i, name in enumerate(names)}


def _anomaly(n: int) -> dict[str, object]:
    return {
        "tracking_id": f"t{n}",
        "ship_id": "ship-1",
        "ts": at(n),
        "domain": "net",
        "anomaly_type": "link_down",
        "service": "switchd",
        "device_id": f"sw-{n}",
        "host": f"host-{n}",
        "detector": "pattern",
        "score": 0.8,
        "severity": "high",
        "msg": f"link down on port {n}",
    }


def detected(n: int = 0, **fields) -> AnomalyDetected:
    passed = {k: v for k, v in stages(n).items() if k in ("ingest", "detect")}
    return AnomalyDetected.model_validate(_anomaly(n) | {"stages": passed} | fields, extra="forbid")


def enriched(n: int = 0, **fields) -> EnrichedAnomaly:
    passed = {k: v for k, v in stages(n).items() if k != "correlate"}
    return EnrichedAnomaly.model_validate(_anomaly(n) | {"stages": passed} | fields, extra="forbid")


def evidence(n: int = 0, **fields) -> Evidence:
    given = {k: v for k, v in _anomaly(n).items() if k != "ship_id"}
    derived = {
        "anomaly_id": derived_id(f"t{n}", "pattern", "link_down"),
        "fingerprint": f"f{n}",
        "reason": "same switch",
        "stages": stages(n),
    }
    return Evidence.model_validate(given | derived | fields, extra="forbid")


def created(incident: str = "i1", n: int = 0, **fields) -> Incident:
    members = fields.pop("evidence", (evidence(n),))
    base = {
        "id": incident,
        "tracking_id": f"t{n}",
        "ship_id": "ship-1",
        "ts": at(n),
        "stages": stages(n),
        "title": "Link down on sw-0",
        "severity": "high",
        "category": "network",
        "domain": "net",
        "affected_devices": tuple(m.device for m in members),
        "affected_services": ("switchd",),
        "anomaly_count": len(members),
        "evidence": members,
        "tracking_ids": tuple(m.tracking_id for m in members),
        "first_seen": at(n),
        "last_seen": at(n),
        "created_at": at(n),
        "updated_at": at(n),
    }
    return Incident.model_validate(base | fields, extra="forbid")


def _about(incident: str, n: int) -> dict[str, object]:
    return {
        "tracking_id": f"t{n}",
        "ship_id": "ship-1",
        "ts": at(n),
        "stages": stages(n),
        "incident_id": incident,
    }


def updated(revision: int, *numbers: int, incident: str = "i1", **fields) -> IncidentUpdated:
    members = tuple(evidence(n) for n in numbers)
    base = _about(incident, max(numbers, default=revision))
    return IncidentUpdated.model_validate(
        base | {"revision": revision, "members": members} | fields, extra="forbid"
    )


def cleared(revision: int, incident: str = "i1", **fields) -> IncidentCleared:
    base = _about(incident, 500 + revision)
    return IncidentCleared.model_validate(
        base | {"revision": revision, "resolve_reason": "recovered"} | fields, extra="forbid"
    )


def transitioned(change: int, kind: str, incident: str = "i1", **fields) -> IncidentTransitioned:
    base = _about(incident, 700 + change) | {"stages": {}}
    steps = {"change": change, "kind": kind, "from_status": "open", "to_status": "open"}
    return IncidentTransitioned.model_validate(
        base | steps | {"actor": "mate"} | fields, extra="forbid"
    )


def explained(
    source: str = "rules", n: float = 1, incident: str = "i1", **state: int
) -> EnrichedIncident:
    """*state*: ``of_revision`` and ``of_change``."""
    base = created(incident).model_dump() | {"stages": stages(0) | {"insight": at(n)}}
    insights = LlmInsights.model_validate(
        {"root_cause": f"switch, says {source}", "source": source} | state
    )
    similar = (SimilarIncident(id="old", score=0.9, title="Link down"),)
    return EnrichedIncident.model_validate(
        base | {"llm_insights": insights, "similar_incidents": similar}, extra="forbid"
    )


def suppressed(n: int = 0, by: str = "dock-noise", **fields) -> AnomalySuppressed:
    return AnomalySuppressed(
        tracking_id=f"t{n}",
        ship_id="ship-1",
        ts=at(n),
        stages=fields.get("stages", stages(n)),
        anomaly_id=derived_id(f"t{n}", "pattern", "link_down"),
        by=by,
        reason="the ship is in dock",
        anomaly_type="link_down",
    )


def digested(n: int = 0, **fields) -> AnomalyDigested:
    """A finding that opened no incident, with the id that the anomaly *n* would have."""
    shared = ("tracking_id", "ship_id", "ts", "anomaly_type", "service", "device_id", "host")
    given = {k: v for k, v in _anomaly(n).items() if k in (*shared, "detector", "severity", "msg")}
    passed = {k: v for k, v in stages(n).items() if k in ("ingest", "detect")}
    more = {"stages": passed, "template_id": "x1", "template": "link down on port <*>"}
    told = {
        "anomaly_id": derived_id(f"t{n}", "pattern", "link_down"),
        "reason": "Known here: once.",
    }
    return AnomalyDigested.model_validate(given | more | told | fields, extra="forbid")


async def handle(recorder: Recorder, *messages: Message) -> None:
    for message in messages:
        await recorder.handlers[type(message)](received(message))


def incidents_service(recorder: Recorder, **changes: Any) -> Service:
    """The consumer of facts as the process has it, in a hurry."""
    service = Service(
        "incident-api",
        recorder.handlers,
        Storing(recorder.flush, every=0.002),
        recover=recorder.recover,
        background=[recorder.write_urgent],
    )
    return replace(service, **changes)


async def receive(
    recorder: Recorder, store: IncidentStore, *messages: Message, sequence: int = 1
) -> None:
    """What both consumers of incident-api do with *messages*."""
    history = History(store, recorder)
    for message in messages:
        for handle in (recorder.handlers, history.service().handlers):
            if type(message) in handle:
                await handle[type(message)](received(message, sequence=sequence))
    await recorder.write()
    await history.flush()
