"""Templates that come far more often than before, or not any more; bursts of error lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    DomainOf,
    EntrySource,
    Finding,
    clock,
    device_of,
    shown,
    span,
)
from anomaly_detection.detectors.line_rate import RateChange, What
from anomaly_detection.detectors.lines import Lines, quoted
from anomaly_detection.detectors.rates import ERRORS, Rates
from anomaly_detection.detectors.state import State
from anomaly_detection.layers import TuningOf
from anomaly_detection.policy_learned import ExcessRule, Templates
from anomaly_detection.policy_rules import Judgement

BAD = frozenset((Level.ERROR, Level.CRITICAL))


class RateDetector(Detector[LogEntry]):
    """One Detected when a template, or the errors of a device, come too often, or a template stops.

    One Cleared at its end.
    """

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

    def parts(self) -> Iterator[State]:
        return self._rates.parts()

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self._rates.restore(state)

    def _finding(self, change: RateChange, line: LogEntry) -> Finding:
        dropped = change.what in (What.DROP, What.DROP_OVER)
        rule = self._rules.drop if dropped else self._rules.excess(change.kind == ERRORS)
        if change.what in (What.SPIKE_OVER, What.DROP_OVER):
            return self._cleared(rule, change, line)
        if isinstance(rule, ExcessRule):
            return self._detected(rule, change, line, self._spike(change, line, rule))
        reason = self._drop(change, line)
        return self._detected(rule, change, line, reason, msg=reason)

    def _spike(self, change: RateChange, line: LogEntry, rule: ExcessRule) -> str:
        rate = change.rate
        return (
            f"At {clock(line.ts)} {device_of(line)} logged {_what(change)} for the {rate.count}th "
            f"time within {span(self._rules.rate.window)}; expected are {shown(rate.mean)}, and "
            f"at most {shown(rate.limit(rule))}."
        )

    def _drop(self, change: RateChange, line: LogEntry) -> str:
        rate, window = change.rate, self._rules.rate.window
        return (
            f"Up to {clock(line.ts)} {device_of(line)} has not logged {_what(change)} for "
            f"{span(rate.missing * window)}, though it logs other lines; expected are "
            f"{shown(rate.mean)} in {span(window)}."
        )

    def _detected(
        self,
        rule: Judgement,
        change: RateChange,
        line: LogEntry,
        reason: str,
        msg: str | None = None,
    ) -> Detected:
        rate, errors = change.rate, change.kind == ERRORS
        return Detected.by(
            self.name,
            rule,
            _source(change, line),
            line.ts,
            self._domain_of(rate.service),
            reason,
            meta={"since": change.since.isoformat(), "usual_per_window": round(rate.mean, 3)},
            template_id=None if errors else change.kind,
            template=None if errors else rate.text,
            msg=msg,
        )

    def _cleared(self, rule: Judgement, change: RateChange, line: LogEntry) -> Cleared:
        reason = (
            f"{device_of(line)} logs {_what(change)} as often as expected again: "
            f"{change.rate.count} times in the last window, at {clock(line.ts)}; it was not so "
            f"since {clock(change.since)}."
        )
        source, types = _source(change, line), (rule.anomaly_type,)
        return Cleared(source, line.ts, types, self.name, reason, started=change.since)


def _what(change: RateChange) -> str:
    return change.rate.text if change.kind == ERRORS else quoted(change.rate.text)


def _source(change: RateChange, line: LogEntry) -> EntrySource:
    return replace(EntrySource.of(line), service=change.rate.service or "unknown")
