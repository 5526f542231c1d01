"""What happened without the device, as a kind: the same trouble on two devices has the same. Pure.

A kind is a signature that has forgotten the device, and in the line or the component whatever may
be a name or a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiops_core.models import Evidence
from correlation_service.policy import CorrelatePolicy
from correlation_service.signatures import ATTACK, digest
from correlation_service.spreads import SpreadPlace

WORDS_KEPT = 16  # of a line, the first
_BETWEEN = re.compile(r"[\s=,;:|()\[\]{}\"'`]+")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_NUMBER = re.compile(r"\d+")


def kind_of(ship: str, member: Evidence, policy: CorrelatePolicy) -> str:
    """What an incident that *member* opens has in common with others: 16 hex digits of sha256.

    Ship, type and service; the component with its digits masked, or the metric, else the words of
    the line. Of a state the wording does not matter. Attacks are all of one kind, as peers, users
    and doors change.
    """
    if policy.family_of(member.anomaly_type) == ATTACK:
        return digest("kind", ship, ATTACK)
    about = _NUMBER.sub("#", member.component.casefold()), member.metric or ""
    says_enough = member.state or any(about)
    words = () if says_enough else tuple(words_of(member))[:WORDS_KEPT]
    return digest("kind", ship, member.anomaly_type, member.service, *about, *words)


def place_of(ship: str, member: Evidence, policy: CorrelatePolicy) -> SpreadPlace:
    """Where and when an incident that *member* opens is of its kind."""
    kind = kind_of(ship, member, policy)
    return SpreadPlace(kind, member.device, member.ts, attacker_of(member, policy))


def attacker_of(member: Evidence, policy: CorrelatePolicy) -> str:
    """The other side of an attack, empty of anything else."""
    is_attack = policy.family_of(member.anomaly_type) == ATTACK
    return (member.peer or "") if is_attack else ""


def words_of(member: Evidence) -> Iterator[str]:
    """The words of its line that are no names: without digits, and not the device itself."""
    names = {name.casefold() for name in (member.device, member.host, member.peer) if name}
    for part in _BETWEEN.split(member.msg.casefold()):
        word = part.strip(".!?*<>-+#")
        if _WORD.fullmatch(word) and part.strip(".") not in names:
            yield word
