"""The simulator's voyages through the real detection and enrichment: two processes in a pipe."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from subprocess import PIPE, Popen
from typing import IO

from aiops_core.errors import Misconfigured
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import BY_SUBJECT, AnomalyCleared, EnrichedAnomaly
from aiops_lab.evaluation.correlation.judged import FaultSpan, LabelledRun
from aiops_lab.evaluation.offline import as_line
from aiops_lab.simulator import Scenario, Truth, Voyage

STAGES = ("anomaly_detection", "enrichment_service")
T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
SILENCE_AFTER = 60.0  # seconds after a fault in which a silence still belongs to it


class ServicePipe:
    """Both services, started once; every scenario begins with an empty state."""

    def __init__(self, into: IO[str], out: IO[str]) -> None:
        self._into, self._out = into, out

    def play(self, scenario: Scenario) -> LabelledRun:
        """The messages of *scenario* that reach correlation."""
        run = Voyage(T0, "ship", scenario.name)
        truth: dict[str, Truth] = {}
        feeding = threading.Thread(target=self._feed, args=(scenario, run, truth), daemon=True)
        feeding.start()
        messages = list(self._read())
        feeding.join()
        anomalies = [m for m in messages if isinstance(m, EnrichedAnomaly)]
        return LabelledRun(
            name=f"{scenario.name}, seed {scenario.seed}",
            began=T0,
            inventory=Inventory(scenario.ship.devices),
            messages=messages,
            fault_of={a.anomaly_id: _fault_of(a, truth, scenario) for a in anomalies},
            faults=[FaultSpan(e.id, e.root_device, e.start, e.end) for e in scenario.episodes],
        )

    def _feed(self, scenario: Scenario, run: Voyage, truth: dict[str, Truth]) -> None:
        devices = [device.model_dump(mode="json") for device in scenario.ship.devices]
        with suppress(BrokenPipeError):  # a service has ended; ``_read`` reports it
            self._into.write(json.dumps({"begin": devices}) + "\n")
            for event in scenario:
                if event.truth:
                    truth[run.tracking_id(event)] = event.truth
                self._into.write(as_line(run.message(event)))
            self._into.write('{"end": true}\n')
            self._into.flush()

    def _read(self) -> Iterator[EnrichedAnomaly | AnomalyCleared]:
        for line in self._out:
            content = json.loads(line)
            if "end" in content:
                return
            if "begin" in content:
                continue
            message = BY_SUBJECT[content["subject"]].model_validate(content["data"])
            if isinstance(message, EnrichedAnomaly | AnomalyCleared):
                yield message
        raise Misconfigured("a service of the pipe has ended; what it said stands above")


def _fault_of(anomaly: EnrichedAnomaly, truth: dict[str, Truth], scenario: Scenario) -> str | None:
    """The fault that the simulator names for the line; a silence has the fault of its device."""
    if known := truth.get(anomaly.tracking_id):
        return known.episode
    at = (anomaly.ts - T0).total_seconds()
    around = (e for e in scenario.episodes if e.start <= at <= e.end + SILENCE_AFTER)
    return next((e.id for e in around if anomaly.device in e.affected), None)


@contextmanager
def pipeline() -> Iterator[ServicePipe]:
    stages: list[Popen[str]] = []
    try:
        for service in STAGES:
            source = stages[-1].stdout if stages else PIPE
            command = [sys.executable, "-m", "aiops_lab.evaluation.offline", service]
            stages.append(Popen(command, stdin=source, stdout=PIPE, text=True, bufsize=1 << 16))
        first, last = stages[0].stdin, stages[-1].stdout
        assert first and last
        yield ServicePipe(first, last)
    finally:
        for stage in stages:
            for stream in (stage.stdin, stage.stdout):
                if stream:
                    with suppress(BrokenPipeError):  # the service has ended, and said why
                        stream.close()
            stage.wait(10)
