"""A line like no other before: what nobody wrote a rule for, and nobody has seen on this ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Finding,
    Lru,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
    span,
)
from anomaly_detection.detectors.domains import DomainOf
from anomaly_detection.detectors.lines import Attention, Heard, Lines, joined, quoted
from anomaly_detection.layers import TuningOf
from anomaly_detection.template_policy import New
from anomaly_detection.templates.mining import Template

DAY = timedelta(days=1)
GROUP, DEVICE = "group ", "device "  # what a key of the snapshot is about


@dataclass(slots=True)
class Newcomers:
    """How long a device is known, and when somebody was told about new lines of it, of late."""

    attention: Attention = field(default_factory=Attention)
    told: list[datetime] = field(default_factory=list)

    def may_tell(self, most_per_day: int, now: datetime) -> bool:
        self.told = [at for at in self.told if abs(now - at) < DAY]
        return len(self.told) < most_per_day


_NEWCOMERS = TypeAdapter(Newcomers)


class NewTemplateDetector(Memoryless):
    """One verdict for the first line of a template. It also remembers the templates, for all."""

    name = "new_template"

    def __init__(
        self, rule: New, lines: Lines, domain_of: DomainOf, tuning_of: TuningOf, devices_kept: int
    ) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self._lines = lines
        self._domain_of = domain_of
        self.state: Lru[Newcomers] = Lru(devices_kept)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        heard = self._lines.of(entry)
        of_device = self.state.get(heard.device, Newcomers)
        attention = of_device.attention
        if attention.last == entry.tracking_id:
            return ()
        attention.hear(heard.at)
        found = self._judge(entry, heard, of_device) if heard.new else None
        attention.last = entry.tracking_id
        if found is None:
            return ()
        of_device.told.append(entry.ts)
        return (found,)

    def snapshot(self) -> Snapshot:
        return joined(self.image())

    def image(self) -> Iterator[Snapshot]:
        groups = (_under(GROUP, part) for part in self._lines.image())
        return chain(groups, (_under(DEVICE, part) for part in self.state.image(_NEWCOMERS)))

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        of = {what: _starting(state, what) for what in (GROUP, DEVICE)}
        self._lines.restore(of[GROUP])
        self.state.load(_NEWCOMERS, of[DEVICE])

    def _judge(self, line: LogEntry, heard: Heard, of_device: Newcomers) -> Verdict | None:
        tuning = self._tuning_of(line.ship_id, line.service, heard.device[1])
        known = of_device.attention.span()
        if known < (tuning.warm_up or self._rule.warm_up):
            return None
        if not of_device.may_tell(round(self._rule.most_per_day / tuning.scale), line.ts):
            return None
        return self._verdict(line, heard.template, known)

    def _verdict(self, line: LogEntry, template: Template, known: timedelta) -> Verdict:
        return Verdict(
            Origin.of(line),
            line.ts,
            anomaly_type=self._rule.anomaly_type,
            domain=self._domain_of(line.service),
            severity=self._rule.severity,
            score=self._rule.score,
            detector=self.name,
            template_id=template.id,
            template=template.text,
            reason=(
                f"At {clock(line.ts)} {line.service} on {device_of(line)} said 1 line like no other before, "
                f"{quoted(template.text)}; expected are only lines that were heard while it has been "
                f"listened to, for {span(known)}."
            ),
        )


def _under(prefix: str, part: Snapshot) -> Snapshot:
    return {prefix + key: value for key, value in part.items()}


def _starting(state: Mapping[str, JsonValue], prefix: str) -> dict[str, JsonValue]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
