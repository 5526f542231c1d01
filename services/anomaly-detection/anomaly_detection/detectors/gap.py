"""Senders whose readings stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    span,
)
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.rules import Gaps

ZERO = timedelta(0)
LIVE = timedelta(minutes=5)  # from a reading to its arrival; later ones are imported history


@dataclass(slots=True)
class GapSender:
    """The arrivals of all readings of one service on one device."""

    source: EntrySource
    heard: datetime
    readings: int = 0
    longest: timedelta = ZERO  # pause between two readings
    reported: datetime | None = None

    def due(self, rule: Gaps) -> datetime:
        """When its silence becomes an anomaly."""
        return self.heard + max(rule.factor * self.longest, rule.least)


class GapDetector(Detector[MetricSample]):
    """One Detected for a sender that stops, one Cleared with its next reading.

    All series of a sender count as one: a dead device is one anomaly.
    """

    name = "gap"

    def __init__(self, rule: Gaps, senders_kept: int) -> None:
        self._rule = rule
        self.state: SegmentedLru[GapSender] = SegmentedLru(senders_kept, GapSender)

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        arrived = entry.stages.get("ingest", entry.ts)
        if not ZERO <= abs(arrived - entry.ts) < LIVE:
            return ()
        source = EntrySource.of(entry)
        key = (source.ship_id, source.device, source.service)
        sender = self.state.get(key, lambda: GapSender(source, arrived))
        pause = arrived - sender.heard
        if pause < -LIVE:
            sender.heard = arrived  # the clock was set back
        if pause <= ZERO:
            return ()
        cleared = self._cleared(sender, arrived)
        # A pause that was too long and not reported is not learned: the clock of this host was
        # set, or this service was down.
        overlong = self._judged(sender) and arrived > sender.due(self._rule)
        if not cleared and sender.readings and not overlong:
            sender.longest = max(sender.longest, min(pause, self._rule.least))
        sender.heard, sender.reported = arrived, None
        sender.readings += 1
        return cleared

    def resume(self, now: datetime) -> None:
        """Count pauses from *now* on: the clock of this host was set."""
        waiting = [sender for _, sender in self.state.items() if sender.reported is None]
        for sender in waiting:
            sender.heard = now

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        due = [
            sender
            for _, sender in self.state.items()
            if sender.reported is None and self._judged(sender) and sender.due(self._rule) <= now
        ]
        findings = [self._detected(sender) for sender in due]
        for sender in due:
            sender.reported = sender.due(self._rule)
        return findings

    def _judged(self, sender: GapSender) -> bool:
        return sender.readings > self._rule.readings

    def _detected(self, sender: GapSender) -> Detected:
        at, source = sender.due(self._rule), sender.source
        longest = max(sender.longest, timedelta(seconds=1))
        reason = (
            f"{source.service} on {source.device} sends no readings any more: none for "
            f"{span(at - sender.heard)} since {clock(sender.heard)}, expected is one in "
            f"{span(longest)} at most, as in {sender.readings:,} before."
        )
        meta = {"since": sender.heard.isoformat()}
        return Detected.by(self.name, self._rule, source, at, reason, meta=meta)

    def _cleared(self, sender: GapSender, at: datetime) -> Sequence[Finding]:
        if sender.reported is None:
            return ()
        source = sender.source
        reason = (
            f"{source.service} on {source.device} sends readings again at {clock(at)}, as "
            f"expected; there were none for {span(at - sender.heard)}."
        )
        types = (self._rule.anomaly_type,)
        return (Cleared(source, at, types, self.name, reason, started=sender.heard),)
