"""What an update changes of its incident: the members that join and leave, and the fields that it
names. Pure. Every service that folds incidents folds them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from aiops_core.models import (
    EVIDENCE_KEPT,
    TRACKING_IDS_KEPT,
    Evidence,
    Incident,
    IncidentUpdated,
    Role,
)

T = TypeVar("T")

AFFECTED_KEPT = 1000  # devices, and services; the newest, as senders choose their own names
SCALARS = (
    *("severity", "title", "description", "category", "root_cause", "corr_keys"),
    "recurrence",
)
PLACE = attrgetter("ts", "anomaly_id")


def names_a_field(fact: IncidentUpdated) -> bool:
    return any(getattr(fact, name) is not None for name in SCALARS)


def said_of(fact: IncidentUpdated) -> dict[str, Any]:
    """The fields of the incident that *fact* sets, with their values.

    Whether a person is to be told is of the newest occurrence or announced change: mere growth
    leaves it. Members end the quiet.
    """
    said = {name: getattr(fact, name) for name in SCALARS if getattr(fact, name) is not None}
    if fact.announce or fact.reopens or fact.recurrence:
        said["announce"] = fact.announce
    if fact.members or fact.quiet_since:
        said["quiet_since"] = fact.quiet_since
    return said


def absorbed(incident: Incident, members: Sequence[Evidence]) -> dict[str, Any]:
    """What changes when *members* join: they are facts, so they count whatever the status is."""
    if not members:
        return {}
    return {
        "evidence": _newest_evidence((*incident.evidence, *members)),
        "anomaly_count": incident.anomaly_count + len(members),
        "affected_devices": _united(
            incident.affected_devices, (m.device for m in members), AFFECTED_KEPT
        ),
        "affected_services": _united(
            incident.affected_services, (m.service for m in members), AFFECTED_KEPT
        ),
        "tracking_ids": _united(
            incident.tracking_ids, (m.tracking_id for m in members), TRACKING_IDS_KEPT
        ),
        "first_seen": min(incident.first_seen, *(m.ts for m in members)),
        "last_seen": max(incident.last_seen, *(m.ts for m in members)),
    }


def parted(incident: Incident, fact: IncidentUpdated) -> dict[str, Any]:
    """What changes when members leave for another incident."""
    if not fact.departed:
        return {}
    gone = set(fact.departed)
    return {
        "evidence": tuple(one for one in incident.evidence if one.anomaly_id not in gone),
        "anomaly_count": max(incident.anomaly_count - len(gone), 0),
        "affected_devices": fact.affected_devices or incident.affected_devices,
        "affected_services": fact.affected_services or incident.affected_services,
    }


def _newest_evidence(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The newest, oldest first. Duplicates only fill the room that members leave."""
    distinct: dict[str, Evidence] = {}
    for one in evidence:
        distinct.setdefault(one.anomaly_id, one)
    everything = sorted(distinct.values(), key=PLACE)  # nearly in order already
    surplus = max(len(everything) - EVIDENCE_KEPT, 0)
    repeats = (one.anomaly_id for one in everything if one.role is not Role.MEMBER)
    gone = set(islice(repeats, surplus))
    return tuple(one for one in everything if one.anomaly_id not in gone)[-EVIDENCE_KEPT:]


def _united(known: tuple[T, ...], more: Iterable[T], most: int) -> tuple[T, ...]:
    """*known*, which is distinct, then the new ones of *more*; the newest *most* of them."""
    wanted = dict.fromkeys(more)
    if wanted.keys().isdisjoint(known):  # nearly always, where many are known
        return (*known, *wanted)[-most:]
    return tuple(dict.fromkeys((*known, *wanted)))[-most:]
