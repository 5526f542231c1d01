"""Anomalies that a silence would have hidden. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aiops_core.models import Severity
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import Matcher
from incident_api.silences.models import Preview, PreviewCount
from incident_api.silences.validation import refusal
from incident_api.stats.models import LabelCount

SHOWN = ("anomaly_type", "device_id", "service", "severity")
TOP = 20


def preview(
    time_range: str,
    matchers: tuple[Matcher, ...],
    counts: Iterable[LabelCount],
    policy: SuppressPolicy,
) -> Preview:
    anomalies = never = 0
    hidden: Counter[tuple[str, ...]] = Counter()
    for labels, number in counts:
        anomalies += number
        if not all(matcher.matches(labels) for matcher in matchers):
            continue
        shown = tuple(labels[name][0] for name in SHOWN)
        if policy.never_suppress.covers(shown[0], Severity(shown[3])):
            never += number
        else:
            hidden[shown] += number
    return Preview(
        time_range=time_range,
        matchers=matchers,
        anomalies=anomalies,
        hidden=hidden.total(),
        never_hidden=never,
        refused=refusal(matchers, policy),
        top=[
            PreviewCount(**dict(zip(SHOWN, shown, strict=True)), number=number)
            for shown, number in hidden.most_common(TOP)
        ],
    )
