"""Templates that come far more often than they did, or not at all any more; bursts of error lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

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
from anomaly_detection.detectors.lines import Lines, joined, quoted
from anomaly_detection.detectors.pace import Change, What
from anomaly_detection.detectors.rates import ERRORS, Rates
from anomaly_detection.judgement import Judgement
from anomaly_detection.layers import TuningOf
from anomaly_detection.template_policy import Excess, Templates

BAD = frozenset((Level.ERROR, Level.CRITICAL))


class RateDetector(Memoryless):
    """One verdict when a template, or the errors of a device, begin to come too often, or when a
    template has stopped to come; and its end."""

    name = "rate"

    def __init__(
        self,
        rules: Templates,
        lines: Lines,
        harmless: Callable[[LogEntry], bool],
        domain_of: DomainOf,
        tuning_of: TuningOf,
        kept: int,
    ) -> None:
        self._rules = rules
        self._lines = lines
        self._harmless = harmless
        self._domain_of = domain_of
        self._rates = Rates(rules, tuning_of, kept, self._finding)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        bad = entry.level in BAD and not self._harmless(entry)
        return self._rates.hear(entry, self._lines.of(entry), bad)

    def snapshot(self) -> Snapshot:
        return joined(self.image())

    def image(self) -> Iterator[Snapshot]:
        return self._rates.image()

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self._rates.restore(state)

    def _finding(self, change: Change, line: LogEntry) -> Finding:
        if change.what in (What.SPIKE_OVER, What.DROP_OVER):
            return _ended(self._judgement(change), change, line)
        domain, window = self._domain_of(change.pace.service), self._rules.rate.window
        if change.what is What.DROP:
            reason = _drop(change, line, window)
            return replace(_verdict(self._rules.drop, change, line, domain, reason), msg=reason)
        rule = self._excess(change)
        return _verdict(rule, change, line, domain, _spike(change, line, rule, window))

    def _judgement(self, change: Change) -> Judgement:
        dropped = change.what in (What.DROP, What.DROP_OVER)
        return self._rules.drop if dropped else self._excess(change)

    def _excess(self, change: Change) -> Excess:
        return self._rules.errors if change.kind == ERRORS else self._rules.rate


def _spike(change: Change, line: LogEntry, rule: Excess, window: timedelta) -> str:
    pace = change.pace
    return (
        f"At {clock(line.ts)} {device_of(line)} logged {_what(change)} for the {pace.count}th time within "
        f"{span(window)}; expected are {shown(pace.mean)}, and at most {shown(pace.limit(rule))}."
    )


def _drop(change: Change, line: LogEntry, window: timedelta) -> str:
    pace = change.pace
    return (
        f"Up to {clock(line.ts)} {device_of(line)} has not logged {_what(change)} for "
        f"{span(pace.missing * window)}, though it logs other lines; expected are {shown(pace.mean)} in "
        f"{span(window)}."
    )


def _what(change: Change) -> str:
    return change.pace.text if change.kind == ERRORS else quoted(change.pace.text)


def _verdict(of: Judgement, change: Change, line: LogEntry, domain: Domain, reason: str) -> Verdict:
    return Verdict(
        _origin(change, line),
        line.ts,
        anomaly_type=of.anomaly_type,
        domain=domain,
        severity=of.severity,
        score=of.score,
        detector=RateDetector.name,
        reason=reason,
        meta={"since": change.since.isoformat(), "usual_per_window": round(change.pace.mean, 3)},
        template_id=None if change.kind == ERRORS else change.kind,
        template=None if change.kind == ERRORS else change.pace.text,
    )


def _ended(of: Judgement, change: Change, line: LogEntry) -> Ended:
    return Ended(
        _origin(change, line),
        line.ts,
        anomaly_types=(of.anomaly_type,),
        detector=RateDetector.name,
        started=change.since,
        reason=(
            f"{device_of(line)} logs {_what(change)} as often as expected again: {change.pace.count} times "
            f"in the last window, at {clock(line.ts)}; it was not so since {clock(change.since)}."
        ),
    )


def _origin(change: Change, line: LogEntry) -> Origin:
    return replace(Origin.of(line), service=change.pace.service or "unknown")
