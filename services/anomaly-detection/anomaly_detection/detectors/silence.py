"""Devices that stop logging: ``sender_lost``, which is never a recovery.

Pauses are measured by arrival (``stages.ingest``), not by the clocks of devices: an imported log
says nothing about who is alive now. Only time in which some device of the ship was heard counts:
when all are silent, the transport is broken, or this service has a backlog to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import JsonValue

from aiops_core.models import Domain, LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    device_of,
    span,
)
from anomaly_detection.detectors.lines import SHIPS
from anomaly_detection.detectors.state import Late, SegmentedLru
from anomaly_detection.layers import DetectorTuning, TuningOf
from anomaly_detection.rules import SilenceRule

ATTENDED = 0.25  # of ``least``: the longest pause of a whole ship that counts as time


@dataclass(slots=True)
class DeviceActivity:
    """When a device was heard last, how often, its longest pause, and since when it is lost.

    *first*, *now* and *longest* are seconds of attended time.
    """

    host: str
    device_id: str | None
    heard: datetime
    first: float
    now: float
    last: str = ""
    lines: int = 0
    longest: float = 0.0
    lost: datetime | None = None

    def allowed(self, rule: SilenceRule, tuning: DetectorTuning) -> float | None:
        """Seconds of silence after which it is lost; None in its warm-up."""
        warm_up = (tuning.warm_up or rule.warm_up).total_seconds()
        if self.lost or self.lines < rule.lines or self.now - self.first < warm_up:
            return None
        return max(rule.least.total_seconds(), tuning.scale * rule.factor * self.longest)

    def hear(self, at: datetime, ship: ShipActivity, tracking_id: str) -> None:
        """Add a line. A pause that was reported as a loss is not learned."""
        now = ship.attended
        if self.lost is None and now - self.now > self.longest:
            self.longest = now - self.now
        # Not later than the ship was heard: its clock may have been set back.
        self.heard = max(min(self.heard, ship.heard), at)
        self.now, self.last = now, tracking_id
        self.lines += 1
        self.lost = None


@dataclass(slots=True)
class ShipActivity:
    """When any device of a ship was heard last, and its attended time in seconds."""

    heard: datetime
    attended: float = 0.0
    late: Late = field(default_factory=Late)

    def hear(self, at: datetime, longest: float) -> None:
        """Advance to an arrival at *at*. Idempotent."""
        passed = (at - self.heard).total_seconds()
        if passed >= 0:
            self.attended += min(passed, longest)
            self.heard = at
            self.late.over()
        elif self.late.proves(at.timestamp()):
            self.heard = at


class SilenceDetector(Detector[LogEntry]):
    name = "silence"

    def __init__(self, rule: SilenceRule, tuning_of: TuningOf, devices_kept: int) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self.state: SegmentedLru[DeviceActivity] = SegmentedLru(devices_kept, DeviceActivity)
        self._ships: dict[str, ShipActivity] = {}
        self._longest = ATTENDED * rule.least.total_seconds()
        self._next: dict[str, float] = {}  # attended time of a ship before which none is lost

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        at = entry.stages.get("ingest", entry.ts)
        ship = self._ships.get(entry.ship_id) or self._add_ship(entry.ship_id, at)
        device = self.state.get(
            (entry.ship_id, device_of(entry)),
            lambda: DeviceActivity(entry.host, entry.device_id, at, ship.attended, ship.attended),
        )
        if device.last == entry.tracking_id:
            return ()
        findings = [_cleared(entry, device.lost, self._rule)] if device.lost else ()
        ship.hear(at, self._longest)
        device.hear(at, ship, entry.tracking_id)
        return findings

    def _add_ship(self, ship_id: str, at: datetime) -> ShipActivity:
        """Of too many ships the one with the least attended time is evicted."""
        if len(self._ships) >= SHIPS:
            least = min(self._ships, key=lambda id_: self._ships[id_].attended)
            del self._ships[least]
            self._next.pop(least, None)
        return self._ships.setdefault(ship_id, ShipActivity(at))

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        due = {id_ for id_, ship in self._ships.items() if ship.attended >= self._next.get(id_, 0)}
        if not due:
            return ()
        return sorted(self._look(due), key=lambda finding: finding.at)

    def _look(self, due: set[str]) -> list[Finding]:
        """Report lost devices of the ships in *due*, and schedule the next look."""
        lost: list[tuple[DeviceActivity, Detected]] = []
        least = self._rule.least.total_seconds()
        next_ = {ship_id: self._ships[ship_id].attended + least for ship_id in due}
        for (ship_id, device_id), device in self.state.items():
            tuning = self._tuning_of(ship_id, "unknown", device_id)
            allowed = device.allowed(self._rule, tuning) if ship_id in due else None
            if allowed is None:
                continue
            ship = self._ships[ship_id]
            if ship.attended - device.now >= allowed:
                found = _lost(ship_id, device, ship, timedelta(seconds=allowed), self._rule)
                lost.append((device, found))
            else:
                next_[ship_id] = min(next_[ship_id], device.now + allowed)
        self._next |= next_
        for device, found in lost:
            device.lost = found.at
        return [found for _, found in lost]

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        super().restore(state)
        self._next.clear()
        for (ship_id, _), device in self.state.items():
            ship = self._ships.setdefault(ship_id, ShipActivity(device.heard))
            ship.heard = max(ship.heard, device.heard)
            ship.attended = max(ship.attended, device.now)


def _lost(
    ship_id: str, device: DeviceActivity, ship: ShipActivity, allowed: timedelta, rule: SilenceRule
) -> Detected:
    heard = min(device.heard, ship.heard)
    source = EntrySource(ship_id, device.host, device.device_id)
    longest = timedelta(seconds=max(device.longest, 1.0))
    reason = (
        f"{source.device} has said nothing since {clock(heard)}, for {span(allowed)}, while other "
        f"devices did; expected is a line at least every {span(longest)}, as in the "
        f"{device.lines} lines before."
    )
    meta = {"since": heard.isoformat(), "longest_pause_s": round(device.longest, 3)}
    at = heard + allowed
    return Detected.by(
        SilenceDetector.name, rule, source, at, reason, domain=Domain.SYSTEM, meta=meta
    )


def _cleared(line: LogEntry, lost: datetime, rule: SilenceRule) -> Cleared:
    return Cleared(
        EntrySource(line.ship_id, line.host, line.device_id),
        line.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=SilenceDetector.name,
        started=lost if lost < line.ts else None,  # its clock may be slow
        reason=(
            f"{device_of(line)} speaks again at {clock(line.ts)}, as expected; lost since "
            f"{clock(lost)}."
        ),
    )
