"""The severity of an anomaly in its context, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from aiops_core.models import Anomaly, AnomalyContext, Severity
from enrichment_service.context import DEVICES, HISTORY, SIMILAR
from enrichment_service.policy import SeverityRules, ShipRule

LEVELS = list(Severity)
Trend = Literal["rising", "noise", "new", "known"]


class JudgedSeverity(NamedTuple):
    severity: Severity
    reason: str
    tags: tuple[str, ...]


class Step(NamedTuple):
    """One consideration: by how many levels it moves the severity, and why."""

    by: int
    reason: str


def judge(anomaly: Anomaly, context: AnomalyContext, rules: SeverityRules) -> JudgedSeverity:
    """The severity of the detector, moved by the context by at most ``most_steps``."""
    trend, step = _trend(anomaly.severity, context, rules) or (None, None)
    steps = list(_steps(anomaly, context, rules, step))
    total = sum([step.by for step in steps])
    if anomaly.domain in rules.never_lowered:
        total = max(total, 0)
    total = max(-rules.most_steps, min(total, rules.most_steps))
    severity = LEVELS[max(0, min(anomaly.severity.rank + total, len(LEVELS) - 1))]
    reason = _words(anomaly, severity, steps)
    return JudgedSeverity(severity, reason, tuple(_tags(context, rules, trend)))


def _steps(
    anomaly: Anomaly, context: AnomalyContext, rules: SeverityRules, trend: Step | None
) -> Iterator[Step]:
    if device := context.device:
        by = rules.criticality.get(device.criticality, 0)
        yield Step(by, f"device {device.id} has {device.criticality} criticality")
    yield from _declared(anomaly, context, rules)
    if anomaly.score < rules.doubtful_below:
        yield Step(-1, f"the detector is not sure (score {anomaly.score:.2f})")
    if trend:
        yield trend
    if HISTORY in context.failed:
        yield Step(0, "what happened before is not known yet")


def _declared(anomaly: Anomaly, context: AnomalyContext, rules: SeverityRules) -> Iterator[Step]:
    """What people declared: a mode of the ship that explains it, or maintenance."""
    mode = context.ship_mode
    for rule in rules.ship if mode else ():
        if mode in rule.modes and _applies(rule, anomaly, context):
            yield Step(rule.steps, f"{mode}: {rule.reason}")
    if window := context.maintenance:
        words = f"maintenance until {window.end:%H:%M} UTC by {window.owner}: {window.reason}"
        yield Step(rules.maintenance.steps, words)


def _applies(rule: ShipRule, anomaly: Anomaly, context: AnomalyContext) -> bool:
    kind = context.device.type if context.device else "unknown"
    return (
        (not rule.domains or anomaly.domain in rule.domains)
        and _matches(tuple(map(str.casefold, rule.device_id)), anomaly.device.casefold())
        and _matches(rule.device_types, kind)
        and _matches(rule.services, anomaly.service)
        and _matches(rule.anomaly_types, anomaly.anomaly_type)
    )


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _trend(
    severity: Severity, context: AnomalyContext, rules: SeverityRules
) -> tuple[Trend, Step] | None:
    """Whether anomalies of this type on this device are rising, noise, new or known.

    Without the history only known. New: none in 24 h, and none similar in 7 days.
    """
    hour, day, failed = context.count_1h, context.count_24h, context.failed
    if HISTORY not in failed:
        rising, noise = rules.rising, rules.noise
        usual = (day - hour) / 23  # the mean per hour of the 23 hours before the last
        if hour >= rising.count_1h and hour >= rising.times_usual * usual:
            words = f"rising: {hour} in the last hour, usually {usual:.1f}"
            return "rising", Step(int(severity < rising.ceiling), words)
        if day >= noise.count_24h:
            words = f"known noise: {day} in 24 h without a rise"
            return "noise", Step(-int(severity <= noise.ceiling), words)
        if not day and not context.similar_7d and SIMILAR not in failed:
            return "new", Step(0, "first of its kind in 7 days")
    return ("known", Step(0, f"{day} before it in 24 h")) if day else None


def _words(anomaly: Anomaly, severity: Severity, steps: list[Step]) -> str:
    """Detector and result, then all considerations, those that moved it first."""
    said = f"{anomaly.detector} says {anomaly.severity}"
    if severity != anomaly.severity:
        said += f", {'raised' if severity > anomaly.severity else 'lowered'} to {severity}"
    reasons = [step.reason for step in sorted(steps, key=lambda step: step.by == 0)]
    return "; ".join([said, *reasons])


def _tags(context: AnomalyContext, rules: SeverityRules, trend: Trend | None) -> Iterator[str]:
    if trend == "new":
        yield trend
    if context.count_24h >= rules.recurring_24h:
        yield "recurring"
    if trend in ("rising", "noise"):
        yield trend
    if context.maintenance:
        yield "maintenance"
    if device := context.device:
        if device.criticality == Severity.CRITICAL:
            yield "critical-device"
    elif DEVICES not in context.failed:
        yield "unknown-device"
