"""Lines with a template that was never seen on this ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from pydantic import JsonValue

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    device_of,
    span,
)
from anomaly_detection.detectors.lines import Attention, Lines, MinedLine, quoted
from anomaly_detection.detectors.state import SegmentedLru, State
from anomaly_detection.layers import TuningOf
from anomaly_detection.rules import NewTemplateRule

DAY = timedelta(days=1)
GROUP, DEVICE = "group ", "device "  # prefixes of keys in a snapshot


@dataclass(slots=True)
class NewTemplates:
    """How long a device is known, and the times of its findings within a day."""

    attention: Attention = field(default_factory=Attention)
    reported: list[datetime] = field(default_factory=list)

    def may_report(self, most_per_day: int, now: datetime) -> bool:
        self.reported = [at for at in self.reported if abs(now - at) < DAY]
        return len(self.reported) < most_per_day


class NewTemplateDetector(Detector[LogEntry]):
    """One Detected for the first line of a template. The snapshot includes all templates."""

    name = "new_template"

    def __init__(
        self,
        rule: NewTemplateRule,
        lines: Lines,
        tuning_of: TuningOf,
        devices_kept: int,
    ) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self._lines = lines
        self.state: SegmentedLru[NewTemplates] = SegmentedLru(devices_kept, NewTemplates)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        mined = self._lines.of(entry)
        of_device = self.state.get(mined.device, NewTemplates)
        attention = of_device.attention
        if attention.last == entry.tracking_id:
            return ()
        attention.hear(mined.at)
        found = self._judge(entry, mined, of_device) if mined.new else None
        attention.last = entry.tracking_id
        if found is None:
            return ()
        of_device.reported.append(entry.ts)
        return (found,)

    def parts(self) -> Iterator[State]:
        groups = (_with_prefix(GROUP, part) for part in self._lines.parts())
        return chain(groups, (_with_prefix(DEVICE, part) for part in super().parts()))

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self._lines.restore(_of_prefix(GROUP, state))
        super().restore(_of_prefix(DEVICE, state))

    def _judge(self, line: LogEntry, mined: MinedLine, of_device: NewTemplates) -> Detected | None:
        tuning = self._tuning_of(line.ship_id, line.service, mined.device[1])
        known = of_device.attention.span()
        if known < (tuning.warm_up or self._rule.warm_up):
            return None
        if not of_device.may_report(round(self._rule.most_per_day / tuning.scale), line.ts):
            return None
        return self._detected(line, mined, known)

    def _detected(self, line: LogEntry, mined: MinedLine, known: timedelta) -> Detected:
        reason = (
            f"At {clock(line.ts)} {line.service} on {device_of(line)} said 1 line like no other "
            f"before, {quoted(mined.template)}; expected are only lines that were heard while it "
            f"has been listened to, for {span(known)}."
        )
        return Detected.by(self.name, self._rule, EntrySource.of(line), line.ts, reason)


def _with_prefix(prefix: str, part: State) -> State:
    return {prefix + key: value for key, value in part.items()}


def _of_prefix(prefix: str, state: Mapping[str, JsonValue]) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
