"""Templates that come far more often than they did, or not at all any more; bursts of error lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from aiops_core.models import Domain, Level, LogEntry
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
    shown,
    span,
)
from anomaly_detection.detectors.domains import DomainOf
from anomaly_detection.detectors.lines import Lines, quoted
from anomaly_detection.detectors.rates import Change, Rates, What
from anomaly_detection.judgement import Judgement
from anomaly_detection.template_policy import Drop, Rate
from anomaly_detection.templates.mining import Template

BAD = frozenset((Level.ERROR, Level.CRITICAL))
ERRORS = Template("errors", "lines of level error or critical")


class _Counting(Memoryless):
    """What both detectors share: their state is that of the rates."""

    name: str
    _rates: Rates

    def snapshot(self) -> Snapshot:
        return self._rates.snapshot()

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self._rates.restore(state)


class RateDetector(_Counting):
    """One verdict when a template begins to come too often, or has stopped to come; its end."""

    name = "rate"

    def __init__(
        self, rule: Rate, drop: Drop, lines: Lines, domain_of: DomainOf, kept: int
    ) -> None:
        self._rule, self._drop = rule, drop
        self._lines = lines
        self._domain_of = domain_of
        self._rates = Rates(rule, drop, kept)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        changes = self._rates.hear(entry, self._lines.of(entry).template)
        return [self._finding(change, entry) for change in changes] if changes else ()

    def _finding(self, change: Change, line: LogEntry) -> Finding:
        of = self._drop if change.what in (What.DROP, What.DROP_OVER) else self._rule
        if change.what in (What.SPIKE_OVER, What.DROP_OVER):
            return _ended(self.name, of, change, line)
        says = _spike if change.what is What.SPIKE else _drop
        reason = says(change, line, self._rule)
        domain = self._domain_of(change.pace.service)
        return _verdict(self.name, of, change, line, domain, reason)


class ErrorRateDetector(_Counting):
    """One verdict when a device begins to log more errors than it ever did; its end."""

    name = "error_rate"

    def __init__(
        self, rule: Rate, harmless: Callable[[LogEntry], bool], domain_of: DomainOf, kept: int
    ) -> None:
        self._rule = rule
        self._harmless = harmless
        self._domain_of = domain_of
        self._rates = Rates(rule, None, kept)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        counts = entry.level in BAD and not self._harmless(entry)
        changes = self._rates.hear(entry, ERRORS if counts else None)
        return [self._finding(change, entry) for change in changes] if changes else ()

    def _finding(self, change: Change, line: LogEntry) -> Finding:
        if change.what is What.SPIKE_OVER:
            return _ended(self.name, self._rule, change, line)
        reason = _spike(change, line, self._rule)
        domain = self._domain_of(line.service)
        found = _verdict(self.name, self._rule, change, line, domain, reason)
        return replace(found, template_id=None, template=None)  # of the line, not of all errors


def _spike(change: Change, line: LogEntry, rule: Rate) -> str:
    pace, window = change.pace, span(rule.window)
    return (
        f"At {clock(line.ts)} {device_of(line)} logged {_what(change)} for the {pace.count}th time within "
        f"{window}; expected are {shown(pace.mean)}, and at most {shown(pace.limit(rule))} in {window}."
    )


def _drop(change: Change, line: LogEntry, rule: Rate) -> str:
    pace = change.pace
    return (
        f"Up to {clock(line.ts)} {device_of(line)} has not logged {_what(change)} for "
        f"{span(pace.missing * rule.window)}, though it logs other lines; expected are "
        f"{shown(pace.mean)} in {span(rule.window)}."
    )


def _what(change: Change) -> str:
    return ERRORS.text if change.template is ERRORS else quoted(change.template.text)


def _verdict(
    name: str, of: Judgement, change: Change, line: LogEntry, domain: Domain, reason: str
) -> Verdict:
    return Verdict(
        _origin(change, line),
        line.ts,
        anomaly_type=of.anomaly_type,
        domain=domain,
        severity=of.severity,
        score=of.score,
        detector=name,
        reason=reason,
        meta={"since": change.since.isoformat(), "usual_per_window": round(change.pace.mean, 3)},
        template_id=change.template.id,
        template=change.template.text,
        msg=reason if change.what is What.DROP else None,
    )


def _ended(name: str, of: Judgement, change: Change, line: LogEntry) -> Ended:
    return Ended(
        _origin(change, line),
        line.ts,
        anomaly_types=(of.anomaly_type,),
        detector=name,
        started=change.since,
        reason=(
            f"{device_of(line)} logs {_what(change)} as often as expected again: {change.pace.count} "
            f"lines in the last window, since {clock(line.ts)}; it was not so since {clock(change.since)}."
        ),
    )


def _origin(change: Change, line: LogEntry) -> Origin:
    return replace(Origin.of(line), service=change.pace.service)
