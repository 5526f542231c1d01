"""Pure: what a silence would have hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aiops_core.models import Severity
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import Matcher
from incident_api.silences.models import Preview, PreviewKind
from incident_api.silences.orders import refusal
from incident_api.silences.queries import Kind

SHOWN = ("anomaly_type", "device", "service", "severity")
TOP = 20


def preview(
    time_range: str, matchers: Sequence[Matcher], kinds: Iterable[Kind], policy: SuppressPolicy
) -> Preview:
    anomalies = never = 0
    hidden: Counter[tuple[str, ...]] = Counter()
    for kind in kinds:
        anomalies += kind.number
        if not all(matcher.matches(kind.labels) for matcher in matchers):
            continue
        shown = tuple(kind.labels[name][0] for name in SHOWN)
        if policy.never_suppress.covers(shown[0], Severity(shown[3])):
            never += kind.number
        else:
            hidden[shown] += kind.number
    return Preview(
        time_range=time_range,
        matchers=[str(matcher) for matcher in matchers],
        anomalies=anomalies,
        hidden=hidden.total(),
        never_hidden=never,
        refused=refusal(matchers, policy),
        top=[
            PreviewKind(**dict(zip(SHOWN, shown, strict=True)), number=number)
            for shown, number in hidden.most_common(TOP)
        ],
    )
