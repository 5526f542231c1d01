"""The simulator's voyages through the real detection and enrichment, as two processes in a pipe."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from subprocess import PIPE, Popen
from typing import IO

from aiops_core.errors import Misconfigured
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import BY_SUBJECT, AnomalyCleared, EnrichedAnomaly
from aiops_lab.evaluation.correlation import judged
from aiops_lab.evaluation.offline import as_line
from aiops_lab.simulator import Scenario, Truth, Voyage

STAGES = ("anomaly_detection", "enrichment_service")
T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
LINGERING = 60.0  # s after the end of a fault in which a silence may still be its own


class Pipeline:
    """Both services, started once; every scenario begins with all forgotten."""

    def __init__(self, into: IO[str], out: IO[str]) -> None:
        self._into, self._out = into, out

    def play(self, scenario: Scenario) -> judged.Run:
        """What of *scenario* reaches correlation."""
        run = Voyage(T0, "ship", scenario.name)
        truth: dict[str, Truth] = {}
        feeding = threading.Thread(target=self._feed, args=(scenario, run, truth), daemon=True)
        feeding.start()
        messages = list(self._read())
        feeding.join()
        anomalies = [m for m in messages if isinstance(m, EnrichedAnomaly)]
        return judged.Run(
            name=f"{scenario.name}, seed {scenario.seed}",
            began=T0,
            inventory=Inventory(scenario.ship.devices),
            messages=messages,
            fault_of={a.anomaly_id: _fault_of(a, truth, scenario) for a in anomalies},
            faults=[judged.Span(e.id, e.root_device, e.start, e.end) for e in scenario.episodes],
        )

    def _feed(self, scenario: Scenario, run: Voyage, truth: dict[str, Truth]) -> None:
        with suppress(BrokenPipeError):  # whoever reads the other end will know it
            self._write(scenario, run, truth)

    def _write(self, scenario: Scenario, run: Voyage, truth: dict[str, Truth]) -> None:
        devices = [device.model_dump(mode="json") for device in scenario.ship.devices]
        self._into.write(json.dumps({"begin": devices}) + "\n")
        for event in scenario:
            if event.truth:
                truth[run.tracking_id(event)] = event.truth
            self._into.write(as_line(run.message(event)))
        self._into.write('{"end": true}\n')
        self._into.flush()

    def _read(self) -> Iterator[EnrichedAnomaly | AnomalyCleared]:
        for line in self._out:
            told = json.loads(line)
            if "end" in told:
                return
            if "begin" in told:
                continue
            message = BY_SUBJECT[told["subject"]].model_validate(told["data"])
            if isinstance(message, EnrichedAnomaly | AnomalyCleared):
                yield message
        raise Misconfigured("a service of the pipe has ended; what it said stands above")


def _fault_of(anomaly: EnrichedAnomaly, truth: dict[str, Truth], scenario: Scenario) -> str | None:
    """Of a line or reading what the simulator says; a silence belongs to the fault of its device."""
    if known := truth.get(anomaly.tracking_id):
        return known.episode
    at = (anomaly.ts - T0).total_seconds()
    around = (e for e in scenario.episodes if e.start <= at <= e.end + LINGERING)
    return next((e.id for e in around if anomaly.device in e.affected), None)


@contextmanager
def pipeline() -> Iterator[Pipeline]:
    with _chain(STAGES) as (first, last):
        assert first.stdin and last.stdout
        yield Pipeline(first.stdin, last.stdout)


@contextmanager
def _chain(services: Iterable[str]) -> Iterator[tuple[Popen[str], Popen[str]]]:
    stages: list[Popen[str]] = []
    try:
        for service in services:
            source = stages[-1].stdout if stages else PIPE
            command = [sys.executable, "-m", "aiops_lab.evaluation.offline", service]
            stages.append(Popen(command, stdin=source, stdout=PIPE, text=True, bufsize=1 << 16))
        yield stages[0], stages[-1]
    finally:
        for stage in stages:
            _close(stage)


def _close(stage: Popen[str]) -> None:
    for stream in (stage.stdin, stage.stdout):
        if stream:
            with suppress(BrokenPipeError):  # it has ended before, and said why
                stream.close()
    stage.wait(10)
