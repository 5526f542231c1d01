"""Samples in packs: small incidents that prove what a rule says, and when it is silent. Pure.

A member is written ``device service type: message`` (or ``domain/type``), a fact around it
``kind device: text``; before it ``fine`` if it was checked and is as it should be, and ``later`` if
it was told after the members.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import model_validator

from aiops_core.models import Domain, Evidence, Incident, RootCause, Severity
from aiops_core.policy.file import Section
from llm_enricher.question import ContextFact, Question

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)  # of all samples
_MEMBER = re.compile(
    r"(?P<device>\S+) (?P<service>\S+) (?:(?P<domain>\w+)/)?(?P<type>\w+): (?P<msg>.+)"
)
_FACT = re.compile(
    r"(?P<later>later )?(?P<fine>fine )?"
    r"(?P<kind>line|reading|probe|maintenance|change|login|neighbour)"
    r" (?P<device>\S+): (?P<text>.+)"
)
_DOMAINS = {
    Domain.COMMS: "signal_loss",
    Domain.NET: "link_down link_degraded dns_failure dhcp_failure wifi_failure device_unreachable",
    Domain.SECURITY: "credential_attack auth_failure security_event config_change",
    Domain.APP: "service_down service_error database_overload log_error log_critical"
    " backup_failure certificate_error license_expired",
}
_DOMAIN_OF = {type_: domain for domain, types in _DOMAINS.items() for type_ in types.split()}


class Sample(Section):
    """A small incident. *root*: the device that correlation takes for the origin."""

    members: tuple[str, ...]
    context: tuple[str, ...] = ()
    root: str = ""

    @model_validator(mode="before")
    @classmethod
    def _members_alone(cls, stated: Any) -> Any:
        """A text alone is the only member, a list of texts are the members."""
        if isinstance(stated, str):
            return {"members": (stated,)}
        return {"members": stated} if isinstance(stated, list) else stated

    @model_validator(mode="after")
    def _can_be_read(self) -> Sample:
        for text in self.members:
            if not _MEMBER.fullmatch(text):
                raise ValueError(f"write a member as `device service type: message`: {text[:80]}")
        for text in self.context:
            if not _FACT.fullmatch(text):
                raise ValueError(f"write a fact as `[fine] kind device: text`: {text[:80]}")
        return self

    def __str__(self) -> str:
        return "; ".join((*self.members, *self.context))


def question_of(sample: Sample) -> Question:
    """*sample* as an incident to be explained, its members a second apart."""
    members = [_evidence(n, text) for n, text in enumerate(sample.members)]
    incident = Incident(
        tracking_id="sample",
        ship_id="sample",
        ts=NOW,
        id="sample",
        title="A sample",
        severity=Severity.HIGH,
        domain=members[0].domain,
        affected_devices=tuple(dict.fromkeys(member.device for member in members)),
        evidence=tuple(members),
        anomaly_count=len(members),
        root_cause=_root(sample, members),
        first_seen=members[0].ts,
        last_seen=members[-1].ts,
        created_at=NOW,
        updated_at=NOW,
    )
    facts = [_fact(n, text) for n, text in enumerate(sample.context)]
    return Question(incident=incident, context=tuple(facts))


def _root(sample: Sample, members: Sequence[Evidence]) -> RootCause | None:
    at_root = [member for member in members if member.device == sample.root]
    if not at_root:
        return RootCause(device=sample.root) if sample.root else None
    return RootCause(device=sample.root, anomaly=at_root[0].anomaly_id)


def _evidence(n: int, text: str) -> Evidence:
    part = _MEMBER.fullmatch(text)
    assert part  # as the model has checked
    type_ = part["type"]
    return Evidence(
        anomaly_id=f"member-{n}",
        tracking_id=f"line-{n}",
        ts=NOW + timedelta(seconds=n),
        domain=Domain(part["domain"] or _DOMAIN_OF.get(type_, Domain.SYSTEM)),
        anomaly_type=type_,
        host=part["device"],
        service=part["service"],
        severity=Severity.HIGH,
        score=0.9,
        msg=part["msg"],
    )


def _fact(n: int, text: str) -> ContextFact:
    part = _FACT.fullmatch(text)
    assert part  # as the model has checked
    return ContextFact.model_validate(
        {
            "id": f"fact-{n}",
            "kind": part["kind"],
            "ts": NOW + timedelta(seconds=n + (30 if part["later"] else -60)),
            "device": part["device"],
            "text": part["text"],
            "fine": bool(part["fine"]),
        }
    )
