"""What an incident is about, as a signature: what comes back has the same. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from aiops_core.fingerprints import normalise
from aiops_core.models import Evidence
from correlation_service.policy import CorrelatePolicy

ATTACK = "attack"  # the family of which one campaign is one problem
REMEMBERED = 256  # messages: one anomaly asks several times for its signature
DOUBTFUL = "?"  # begins the signature of what means little alone


def signature_of(ship: str, member: Evidence, policy: CorrelatePolicy) -> str:
    """What an incident that *member* opens is about: 16 hex digits of sha256.

    Ship, device and type; the component or metric, else service and template. Of a state the
    wording does not matter. An attack is about its target alone: peers and users change.
    """
    kind = member.anomaly_type
    if policy.family_of(kind) == ATTACK:
        return digest(ship, member.device, ATTACK)
    mark = DOUBTFUL if policy.grouping_of(kind).min_evidence > 1 else ""
    about = ship, member.device, kind
    if member.component or member.metric:
        return mark + digest(*about, member.component, member.metric)
    words = "" if member.state else member.template_id or _masked(member.msg)
    return mark + digest(*about, member.service, words)


@lru_cache(REMEMBERED)
def _masked(msg: str) -> str:
    return normalise(msg)


def is_doubtful(signature: str) -> bool:
    """Whether it joins no other problem: what it is about means little alone."""
    return signature.startswith(DOUBTFUL)


def digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
