"""A device that always spoke says nothing any more: ``sender_lost``, which is never a recovery.

Pauses are measured where lines arrive (``stages.ingest``), not by the clocks of devices: a log that is
read in afterwards tells nothing about who speaks now. And only time counts in which somebody on the
ship was heard: when all are silent, the way of the lines is broken, or this service has still to read
what came while it was away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from anomaly_detection.detectors.late import Late
from anomaly_detection.detectors.lines import SHIPS
from anomaly_detection.layers import Tuning, TuningOf
from anomaly_detection.template_policy import Silence

ATTENDED = 0.25  # of ``least``: the longest pause of a whole ship that counts as time


@dataclass(slots=True)
class Sender:
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

    def allowed(self, rule: Silence, tuning: Tuning) -> float | None:
        """Seconds of silence that prove something after more; None while it is not known well."""
        warm_up = (tuning.warm_up or rule.warm_up).total_seconds()
        if self.lost or self.lines < rule.lines or self.now - self.first < warm_up:
            return None
        return max(rule.least.total_seconds(), tuning.scale * rule.factor * self.longest)

    def hear(self, at: datetime, ship: Ship, tracking_id: str) -> None:
        """A line arrived; the pause that was called a loss is not learned."""
        now = ship.attended
        if self.lost is None and now - self.now > self.longest:
            self.longest = now - self.now
        # Not later than the ship was heard: its clock may have been set back.
        self.heard = max(min(self.heard, ship.heard), at)
        self.now, self.last = now, tracking_id
        self.lines += 1
        self.lost = None


@dataclass(slots=True)
class Ship:
    """When anybody on it was heard last, and for how many seconds somebody was."""

    heard: datetime
    attended: float = 0.0
    late: Late = field(default_factory=Late)

    def hear(self, at: datetime, longest: float) -> None:
        """Something arrived at *at*; the same again changes nothing."""
        passed = (at - self.heard).total_seconds()
        if passed >= 0:
            self.attended += min(passed, longest)
            self.heard = at
            self.late.over()
        elif self.late.proves(at.timestamp()):
            self.heard = at


_SENDER = TypeAdapter(Sender)


class SilenceDetector:
    name = "silence"

    def __init__(self, rule: Silence, tuning_of: TuningOf, devices_kept: int) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self.state: Lru[Sender] = Lru(devices_kept)
        self._ships: dict[str, Ship] = {}
        self._longest = ATTENDED * rule.least.total_seconds()
        self._next: dict[str, float] = {}  # attended time of a ship before which nobody is lost

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        at = entry.stages.get("ingest", entry.ts)
        ship = self._ships.get(entry.ship_id) or self._arrive(entry.ship_id, at)
        sender = self.state.get(
            (entry.ship_id, device_of(entry)),
            lambda: Sender(entry.host, entry.device_id, at, ship.attended, ship.attended),
        )
        if sender.last == entry.tracking_id:
            return ()
        told = [_ended(entry, sender.lost, self._rule)] if sender.lost else ()
        ship.hear(at, self._longest)
        sender.hear(at, ship, entry.tracking_id)
        return told

    def _arrive(self, ship_id: str, at: datetime) -> Ship:
        """A ship that is new; too many of them push out the one that was attended least."""
        if len(self._ships) >= SHIPS:
            least = min(self._ships, key=lambda id_: self._ships[id_].attended)
            del self._ships[least]
            self._next.pop(least, None)
        return self._ships.setdefault(ship_id, Ship(at))

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        due = {id_ for id_, ship in self._ships.items() if ship.attended >= self._next.get(id_, 0)}
        if not due:
            return ()
        told = self._look(due)
        return sorted(told, key=lambda finding: finding.at)

    def _look(self, due: set[str]) -> list[Finding]:
        """Who is lost on the ships that are *due*, and when to look again."""
        lost: list[tuple[Sender, Verdict]] = []
        least = self._rule.least.total_seconds()
        next_ = {ship_id: self._ships[ship_id].attended + least for ship_id in due}
        for (ship_id, device), sender in self.state.items():
            tuning = self._tuning_of(ship_id, "unknown", device)
            allowed = sender.allowed(self._rule, tuning) if ship_id in due else None
            if allowed is None:
                continue
            ship = self._ships[ship_id]
            if ship.attended - sender.now >= allowed:
                found = _lost(ship_id, sender, ship, timedelta(seconds=allowed), self._rule)
                lost.append((sender, found))
            else:
                next_[ship_id] = min(next_[ship_id], sender.now + allowed)
        self._next |= next_
        for sender, found in lost:
            sender.lost = found.at
        return [found for _, found in lost]

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SENDER)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SENDER)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_SENDER, state)
        self._next.clear()
        for (ship_id, _), sender in self.state.items():
            ship = self._ships.setdefault(ship_id, Ship(sender.heard))
            ship.heard = max(ship.heard, sender.heard)
            ship.attended = max(ship.attended, sender.now)


def _lost(ship_id: str, sender: Sender, ship: Ship, allowed: timedelta, rule: Silence) -> Verdict:
    heard = min(sender.heard, ship.heard)
    device, longest = sender.device_id or sender.host, timedelta(seconds=max(sender.longest, 1.0))
    return Verdict(
        Origin(ship_id, sender.host, sender.device_id),
        heard + allowed,
        anomaly_type=rule.anomaly_type,
        domain=Domain.SYSTEM,
        severity=rule.severity,
        score=rule.score,
        detector=SilenceDetector.name,
        reason=(
            f"{device} has said nothing since {clock(heard)}, for {span(allowed)}, while other "
            f"devices did; expected is a line at least every {span(longest)}, as in the {sender.lines} "
            "lines before."
        ),
        meta={"since": heard.isoformat(), "longest_pause_s": round(sender.longest, 3)},
    )


def _ended(line: LogEntry, lost: datetime, rule: Silence) -> Ended:
    return Ended(
        Origin(line.ship_id, line.host, line.device_id),
        line.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=SilenceDetector.name,
        started=lost if lost < line.ts else None,  # its clock may be slow
        reason=f"{device_of(line)} speaks again at {clock(line.ts)}, as expected; lost since {clock(lost)}.",
    )
