"""A device that always spoke says nothing any more: ``sender_lost``, which is never a recovery.

Pauses are measured where lines arrive (``stages.ingest``), not by the clocks of devices: a log that is
read in afterwards tells nothing about who speaks now. A device is called silent only after somebody
else on the ship was heard later than that: when all are silent, the way of the lines is broken, or this
service has still to read what came while it was away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import Domain, LogEntry
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Lru,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
    span,
)
from anomaly_detection.layers import Tuning, TuningOf
from anomaly_detection.template_policy import Silence

NONE = timedelta(0)


@dataclass(slots=True)
class Sender:
    """When a device was heard first and last, how often, its longest pause, and whether it is lost."""

    host: str
    device_id: str | None
    first: datetime
    heard: datetime
    last: str = ""
    lines: int = 0
    longest: timedelta = NONE
    lost: datetime | None = None

    def deadline(self, rule: Silence, tuning: Tuning) -> datetime | None:
        """When its silence proves something; None while it is not known well enough."""
        warm = self.heard - self.first >= (tuning.warm_up or rule.warm_up)
        if self.lost or self.lines < rule.lines or not warm:
            return None
        return self.heard + max(rule.least, tuning.scale * rule.factor * self.longest)

    def hear(self, at: datetime, tracking_id: str) -> None:
        """A line arrived; the pause that was called a loss is not learned."""
        if self.lost is None and at > self.heard:
            self.longest = max(self.longest, at - self.heard)
        self.heard = max(self.heard, at)
        self.last = tracking_id
        self.lines += 1
        self.lost = None


_SENDER = TypeAdapter(Sender)


class SilenceDetector:
    name = "silence"

    def __init__(self, rule: Silence, tuning_of: TuningOf, devices_kept: int) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self.state: Lru[Sender] = Lru(devices_kept)
        self._next: datetime | None = None  # nobody's deadline comes before
        self._heard: dict[str, datetime] = {}  # when anybody on a ship was heard last

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        at = entry.stages.get("ingest", entry.ts)
        sender = self.state.get(
            (entry.ship_id, device_of(entry)), lambda: Sender(entry.host, entry.device_id, at, at)
        )
        if sender.last == entry.tracking_id:
            return ()
        lost = sender.lost
        sender.hear(at, entry.tracking_id)
        self._hear(entry.ship_id, at)
        return [_ended(entry, lost, self._rule)] if lost and lost < entry.ts else ()

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        if self._next is not None and now < self._next:
            return ()
        told: list[Finding] = []
        self._next = now + self._rule.least
        for (ship_id, device), sender in self.state.items():
            tuning = self._tuning_of(ship_id, "unknown", device)
            deadline = sender.deadline(self._rule, tuning)
            if deadline is None:
                continue
            if deadline <= min(now, self._heard[ship_id]):
                told.append(_lose(ship_id, sender, deadline, self._rule))
            else:
                self._next = min(self._next, deadline)
        return sorted(told, key=lambda finding: finding.at)

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SENDER)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SENDER)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_SENDER, state)
        self._next = None
        for (ship_id, _), sender in self.state.items():
            self._hear(ship_id, sender.heard)

    def _hear(self, ship_id: str, at: datetime) -> None:
        self._heard[ship_id] = max(at, self._heard.get(ship_id, at))


def _lose(ship_id: str, sender: Sender, deadline: datetime, rule: Silence) -> Verdict:
    sender.lost = deadline
    device = sender.device_id or sender.host
    return Verdict(
        Origin(ship_id, sender.host, sender.device_id),
        deadline,
        anomaly_type=rule.anomaly_type,
        domain=Domain.SYSTEM,
        severity=rule.severity,
        score=rule.score,
        detector=SilenceDetector.name,
        reason=(
            f"{device} has said nothing since {clock(sender.heard)}, for {span(deadline - sender.heard)}, "
            f"while other devices did; expected is a line at least every {span(_second(sender.longest))}, "
            f"as in the {sender.lines} lines before."
        ),
        meta={"since": sender.heard.isoformat(), "longest_pause_s": sender.longest.total_seconds()},
    )


def _second(time: timedelta) -> timedelta:
    return max(time, timedelta(seconds=1))


def _ended(line: LogEntry, lost: datetime, rule: Silence) -> Ended:
    return Ended(
        Origin(line.ship_id, line.host, line.device_id),
        line.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=SilenceDetector.name,
        started=lost,
        reason=f"{device_of(line)} speaks again at {clock(line.ts)}, as expected; lost since {clock(lost)}.",
    )
