"""Which of the faults that a person finds by reading are told. Pure.

A fault is found when an incident on the right device has a line as evidence that shows the fault,
and named when the title of such an incident says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiops_core.errors import Misconfigured
from aiops_core.models import EnrichedAnomaly
from aiops_lab.evaluation.signal.told import ShownLine, ToldItem, ToldLog
from aiops_lab.evaluation.signal.truth import NO_FAULT, EvidentFault, LogTruth


@dataclass(frozen=True, slots=True)
class JudgedFault:
    """What is told of *fault*, on one *device* if it must be mended there.

    *lines* show it, on *devices*. *incidents* have such a line as evidence, about *told* of the
    devices; they are in *items*.
    """

    fault: str
    what: str
    device: str
    lines: int
    devices: int
    told: int
    incidents: int
    items: int
    named: bool

    @property
    def found(self) -> bool:
        return self.told > 0


def judge_faults(truth: LogTruth, log: ToldLog, told: Sequence[ToldItem]) -> list[JudgedFault]:
    """Every fault of *truth*; raises Misconfigured when *log* is not the one that it is about."""
    for fault in truth.faults:
        lines = sum(fault.id in line.faults for line in log.shown.values())
        if lines != fault.times:
            raise Misconfigured(
                f"{log.name}: {lines} lines show the fault {fault.id}, and {fault.times} in the "
                "log of that name in expected.yaml; give another log another name"
            )
    return [FaultOnDevices(*part, log.shown).judge(told) for part in _parts(truth)]


def _parts(truth: LogTruth) -> Iterator[tuple[EvidentFault, Sequence[str]]]:
    """The faults with their devices; those of each device on their own."""
    for fault in truth.faults:
        for devices in [[one] for one in fault.devices] if fault.each else [fault.devices]:
            yield fault, devices


@dataclass(frozen=True, slots=True)
class FaultOnDevices:
    """*fault* on *devices*, which are globs, and the lines of the log that show some fault."""

    fault: EvidentFault
    devices: Sequence[str]
    shown: Mapping[str, ShownLine]

    def judge(self, told: Sequence[ToldItem]) -> JudgedFault:
        lines = [one.device for one in self.shown.values() if self._is_in(one)]
        showing = [[one for one in item.incidents if self._of(one.members)] for item in told]
        incidents = [incident for group in showing for incident in group]
        says = re.compile(self.fault.says, re.IGNORECASE)
        return JudgedFault(
            fault=self.fault.id,
            what=self.fault.what,
            device=self.devices[0] if self.fault.each else "",
            lines=len(lines),
            devices=len(set(lines)),
            told=len({device for one in incidents for device in self._of(one.members)}),
            incidents=len(incidents),
            items=sum(map(bool, showing)),
            named=any(says.search(one.title) for one in incidents),
        )

    def _is_in(self, line: ShownLine) -> bool:
        return self.fault.id in line.faults and any(
            fnmatchcase(line.device, device) for device in self.devices
        )

    def _of(self, members: Sequence[EnrichedAnomaly]) -> set[str]:
        """The devices about which *members* show the fault."""
        lines = (self.shown.get(member.tracking_id) for member in members)
        return {line.device for line in lines if line and self._is_in(line)}


def is_no_fault(item: ToldItem, shown: Mapping[str, ShownLine]) -> bool:
    """Whether all evidence of *item* are lines that a person passes over."""
    lines = [shown.get(member.tracking_id) for one in item.incidents for member in one.members]
    return all(line is not None and line.faults == {NO_FAULT} for line in lines)
