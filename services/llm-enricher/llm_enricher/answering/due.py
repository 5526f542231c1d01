"""When an incident is to be explained, or explained anew. Pure.

| reason | when |
|---|---|
| first | nothing has explained it |
| root | another device or service is taken for the origin |
| type | the anomaly at the root is of another type, or the incident of another domain or category |
| severity | it changed |
| occurrence | the problem came back within the incident |
| extent | twice as many devices or kinds of anomalies, or ten times as many anomalies; or a half |

What an explained incident looked like is read from the published explanation, which contains it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from aiops_core.models import EnrichedIncident, Incident
from llm_enricher.answering.policy import RenewalPolicy

Reason = Literal["first", "root", "type", "severity", "occurrence", "extent"]


class ExplainedState(NamedTuple):
    """What of an incident its explanation depends on. *place* orders the states of one incident:
    the newest fact of correlation-service, then the newest transition."""

    place: tuple[int, int]
    root: tuple[str | None, str | None]
    root_type: str | None  # None: not known
    kind: tuple[str, str]
    severity: str
    occurrence: int
    devices: int
    kinds: int
    anomalies: int


def state_of(incident: Incident, change: int) -> ExplainedState:
    root = incident.root_cause
    types = {one.anomaly_id: one.anomaly_type for one in incident.evidence}
    return ExplainedState(
        place=(incident.revision, change),
        root=(root.device, root.service) if root else (None, None),
        root_type=types.get(root.anomaly) if root and root.anomaly else None,
        kind=(incident.domain, incident.category),
        severity=incident.severity,
        occurrence=incident.recurrence.occurrence if incident.recurrence else 0,
        devices=len(incident.affected_devices),
        kinds=len({(one.device, one.anomaly_type) for one in incident.evidence}),
        anomalies=incident.anomaly_count,
    )


def explained_state(answer: EnrichedIncident) -> ExplainedState:
    """The state that a published *answer* explains."""
    return state_of(answer, answer.llm_insights.of_change)


def due(before: ExplainedState | None, now: ExplainedState, policy: RenewalPolicy) -> Reason | None:
    """Why *now* is to be explained after *before* was."""
    if before is None:
        return "first"
    if before.root != now.root:
        return "root"
    if before.kind != now.kind or _differ(before.root_type, now.root_type):
        return "type"
    if before.severity != now.severity:
        return "severity"
    if before.occurrence != now.occurrence:
        return "occurrence"
    return "extent" if _has_another_extent(before, now, policy) else None


def _differ(before: str | None, now: str | None) -> bool:
    """Of a large incident the evidence of the root may be kept no more."""
    return before is not None and now is not None and before != now


def _has_another_extent(before: ExplainedState, now: ExplainedState, policy: RenewalPolicy) -> bool:
    return (
        _is_far(before.devices, now.devices, policy.extent)
        or _is_far(before.kinds, now.kinds, policy.extent)
        or _is_far(before.anomalies, now.anomalies, policy.anomalies)
    )


def _is_far(before: int, now: int, times: float) -> bool:
    less, more = sorted((before, now))
    return more > less and more >= less * times
