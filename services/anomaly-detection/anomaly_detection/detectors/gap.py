"""Readings that stop: a sender that always measured has nothing more to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Lru,
    Origin,
    Snapshot,
    Verdict,
    clock,
    span,
)
from anomaly_detection.detectors.domains import DomainOf
from anomaly_detection.metric_policy import Gaps

ZERO = timedelta(0)
LIVE = timedelta(
    minutes=5
)  # between a reading and its arrival; a later one is history, not a sender


@dataclass(slots=True)
class Sender:
    """The arrivals of all readings of one service of one device."""

    origin: Origin
    heard: datetime
    readings: int = 0
    longest: timedelta = ZERO  # pause that was followed by readings
    told: datetime | None = None

    def due(self, settings: Gaps) -> datetime:
        """From when on it is missing."""
        return self.heard + max(settings.factor * self.longest, settings.least)


_SENDER = TypeAdapter(Sender)


class GapDetector:
    """One verdict for a sender that stops, one end with its next reading.

    All of a sender's series are one: if one device is gone, it is one thing that is wrong.
    """

    name = "gap"

    def __init__(self, settings: Gaps, domain: DomainOf, senders_kept: int) -> None:
        self._settings = settings
        self._domain = domain
        self.state: Lru[Sender] = Lru(senders_kept)

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        arrived = entry.stages.get("ingest", entry.ts)
        if not ZERO <= abs(arrived - entry.ts) < LIVE:
            return ()
        origin = Origin.of(entry)
        key = (origin.ship_id, origin.device, origin.service)
        sender = self.state.get(key, lambda: Sender(origin, arrived))
        pause = arrived - sender.heard
        if pause < -LIVE:
            sender.heard = arrived  # the clock was set back
        if pause <= ZERO:
            return ()
        ended = self._end(sender, arrived)
        # Of a judged sender, a pause that nobody was told of though it was too long was none: the
        # clock of this host was set, or this service was away.
        overlong = self._judged(sender) and arrived > sender.due(self._settings)
        if not ended and sender.readings and not overlong:
            sender.longest = max(sender.longest, min(pause, self._settings.least))
        sender.heard, sender.told = arrived, None
        sender.readings += 1
        return ended

    def resume(self, now: datetime) -> None:
        """The clock of this host was set to *now*: pauses count from here on."""
        waiting = [sender for _, sender in self.state.items() if sender.told is None]
        for sender in waiting:
            sender.heard = now

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        settings = self._settings
        due = [
            sender
            for _, sender in self.state.items()
            if sender.told is None and self._judged(sender) and sender.due(settings) <= now
        ]
        verdicts = [self._verdict(sender) for sender in due]
        for sender in due:
            sender.told = sender.due(settings)
        return verdicts

    def _judged(self, sender: Sender) -> bool:
        return sender.readings > self._settings.readings

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SENDER)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SENDER)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_SENDER, state)

    def _verdict(self, sender: Sender) -> Verdict:
        at, origin = sender.due(self._settings), sender.origin
        return Verdict(
            origin,
            at,
            anomaly_type=self._settings.anomaly_type,
            domain=self._domain(origin.service),
            severity=self._settings.severity,
            score=self._settings.score,
            detector=self.name,
            reason=(
                f"{origin.service} on {origin.device} sends no readings any more: none for "
                f"{span(at - sender.heard)} since {clock(sender.heard)}, expected is one in "
                f"{span(max(sender.longest, timedelta(seconds=1)))} at most, as in {sender.readings:,} before."
            ),
            meta={"since": sender.heard.isoformat()},
        )

    def _end(self, sender: Sender, at: datetime) -> Sequence[Finding]:
        if sender.told is None:
            return ()
        origin = sender.origin
        return (
            Ended(
                origin,
                at,
                anomaly_types=(self._settings.anomaly_type,),
                detector=self.name,
                reason=(
                    f"{origin.service} on {origin.device} sends readings again at {clock(at)}, as "
                    f"expected; there were none for {span(at - sender.heard)}."
                ),
                started=sender.heard,
            ),
        )
