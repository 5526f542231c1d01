"""Devices whose clocks are wrong: once each, until a line states a right time again.

The normaliser says of a line which time it stated and was not believed; here that is remembered
per device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from aiops_core.models import Domain, LogEntry
from aiops_core.normaliser.clocks import STATED, lost_weeks, never_set
from aiops_core.normaliser.continuations import CONTINUES
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
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.rules import Judgement

COMPONENT = "clock"
STEADY = 20  # right times in a row that end an alarm of a clock that was wrong SEVERAL times
SEVERAL = 3


@dataclass(slots=True)
class DeviceClock:
    """*wrong*: since when; *times*: how often it was; *right*: right times in a row since then."""

    wrong: datetime | None = None
    newest: datetime | None = None
    times: int = 0
    right: int = 0
    last: str = ""


class ClockDetector(Detector[LogEntry]):
    name = "clock"

    def __init__(self, rule: Judgement, devices_kept: int) -> None:
        self._rule = rule
        self.state: SegmentedLru[DeviceClock] = SegmentedLru(devices_kept, DeviceClock)
        self._wrong: set[tuple[str, str]] = set()

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        key, stated = (entry.ship_id, device_of(entry)), entry.labels.get(STATED)
        if stated is None and key not in self._wrong:  # nearly all lines
            return ()
        device = self.state.get(key, DeviceClock)
        if device.last == entry.tracking_id or (device.newest and entry.ts < device.newest):
            return ()
        if stated is None:
            return self._right(entry, key, device)
        found = (_detected(entry, stated, self._rule),) if device.wrong is None else ()
        # Nothing from here on can raise: an entry is observed as a whole, or not at all.
        device.last, device.newest, device.right = entry.tracking_id, entry.ts, 0
        if found:
            device.wrong = entry.ts
            device.times += 1
            self._wrong.add(key)
        return found

    def _right(
        self, entry: LogEntry, key: tuple[str, str], device: DeviceClock
    ) -> Sequence[Finding]:
        """A line that states no time has that of its arrival, and proves nothing."""
        began = device.wrong
        states_time = entry.ts != entry.stages.get("ingest") and CONTINUES not in entry.labels
        if began is None or not states_time or entry.ts <= began:
            return ()
        enough = device.right + 1 >= (STEADY if device.times > SEVERAL else 1)
        found = (_cleared(entry, began, self._rule),) if enough else ()
        device.last, device.newest = entry.tracking_id, entry.ts
        device.right += 1
        if found:
            device.wrong, device.right = None, 0
            self._wrong.discard(key)
        return found

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        super().restore(state)
        for (ship_id, device_id), device in self.state.items():
            if device.wrong is not None:
                self._wrong.add((ship_id, device_id))


def _detected(line: LogEntry, stated: str, rule: Judgement) -> Detected:
    source, written = EntrySource.of(line), datetime.fromisoformat(stated)
    arrived = line.stages.get("ingest", line.ts)
    by = _distance(abs(arrived - written))
    kind = _kind(written, arrived)
    return Detected.by(
        ClockDetector.name,
        rule,
        source,
        line.ts,
        f"At {clock(arrived)} the clock of {source.device} said {written.isoformat()}; expected is "
        f"the time of arrival: {kind}.",
        domain=Domain.SYSTEM,
        component=COMPONENT,
        meta={"stated": written.isoformat(), "wrong_by_s": (written - arrived).total_seconds()},
        msg=f"The clock of {source.device} is wrong by {by}: it says {written.isoformat()}",
    )


def _kind(written: datetime, arrived: datetime) -> str:
    if written > arrived:
        return "it is ahead"
    if never_set(written):
        return "it was never set"
    return "its GPS receiver lost weeks" if lost_weeks(written, arrived) else "it was not set"


def _distance(time: timedelta) -> str:
    return span(time) if time < timedelta(days=2) else f"{time.days:,} days"


def _cleared(line: LogEntry, began: datetime, rule: Judgement) -> Cleared:
    return Cleared(
        EntrySource(line.ship_id, line.host, line.device_id),
        line.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=ClockDetector.name,
        reason=(
            f"The clock of {device_of(line)} is right again at {clock(line.ts)}, as expected; it "
            f"was wrong since {clock(began)}."
        ),
        started=began,
        component=COMPONENT,
    )
