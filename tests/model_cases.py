"""Questions to a language model, as tests need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiops_core.models import Evidence, Incident, LlmInsights, RootCause
from llm_enricher.model.privacy import PrivacyPolicy
from llm_enricher.policy import LlmPolicy
from llm_enricher.question import ContextFact, Document, MemberKind, Question

POLICIES = Path(__file__).parents[1] / "policies"
POLICY = LlmPolicy.load(POLICIES).model
PRIVACY = PrivacyPolicy.load(POLICIES)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def evidence(number: int, device: str, msg: str, **fields) -> Evidence:
    base = {
        "anomaly_id": f"a{number}",
        "tracking_id": f"t{number}",
        "ts": NOON + timedelta(seconds=number),
        "domain": "net",
        "anomaly_type": "link_down",
        "device_id": device,
        "host": device,
        "service": "unknown",
        "severity": "high",
        "score": 0.9,
        "msg": msg,
    }
    return Evidence.model_validate(base | fields)


def question(
    *members: Evidence,
    kinds: tuple[MemberKind, ...] = (),
    context: tuple[ContextFact, ...] = (),
    documents: tuple[Document, ...] = (),
    **fields,
) -> Question:
    shown = members or (
        evidence(1, "sw-1", "Interface Gi1/0/24 changed state to down"),
        evidence(2, "ap-2", "AP ap-2 lost its controller", anomaly_type="device_unreachable"),
    )
    base = {
        "tracking_id": "t1",
        "ship_id": "s1",
        "ts": NOON,
        "id": "i1",
        "title": "sw-1: link down",
        "severity": "high",
        "domain": "net",
        "affected_devices": tuple(dict.fromkeys(m.device for m in shown)),
        "root_cause": RootCause(device=shown[0].device, anomaly=shown[0].anomaly_id),
        "evidence": shown,
        "anomaly_count": len(shown),
        "first_seen": NOON,
        "last_seen": NOON + timedelta(seconds=9),
        "created_at": NOON,
        "updated_at": NOON,
    }
    incident = Incident.model_validate(base | fields)
    return Question(incident=incident, kinds=kinds, context=context, documents=documents)


def kind(number: int, device: str, msg: str, *, count: int = 1, **fields) -> MemberKind:
    newest = evidence(number, device, msg)
    base = {
        "device": device,
        "service": "unknown",
        "anomaly_type": "link_down",
        "domain": "net",
        "count": count,
        "first": NOON,
        "last": newest.ts,
        "severity": "high",
        "newest": newest,
    }
    return MemberKind.model_validate(base | fields)


def context(number: int, text: str, **fields) -> ContextFact:
    base = {"id": f"line:{number}", "kind": "line", "ts": NOON + timedelta(seconds=number)}
    return ContextFact.model_validate(base | {"text": text} | fields)


def runbook(title: str, text: str, **fields) -> Document:
    base = {"kind": "runbook", "id": f"runbook:{title}", "title": title, "text": text, "score": 0.8}
    return Document.model_validate(base | fields)


FIRST = LlmInsights(
    root_cause="Gi1/0/24 of sw-1 went down.",
    recommendations=("Check cable and plug at Gi1/0/24.", "Look at the other end of the link."),
    confidence=0.5,
    source="rules",
)
