"""The simulator's files: ground truth and messages. The only module here that writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TextIO

from aiops_core.models import LogEntry, MetricSample
from aiops_lab.simulator.convert import Voyage
from aiops_lab.simulator.scenario import Event, Scenario
from aiops_lab.simulator.traffic import SimulatedLine
from aiops_lab.simulator.truth import Truth


class TruthWriter:
    """Writes what ``truth`` describes: run and episodes at once, lines as they come."""

    def __init__(self, file: TextIO, scenario: Scenario, run: Voyage) -> None:
        self._file = file
        self._run = run
        self._write("run", _run_record(scenario, run))
        for episode in scenario.episodes:
            self._write("episode", asdict(episode))

    def _write(self, record: str, fields: Mapping[str, object]) -> None:
        self._file.write(json.dumps({"record": record, **fields}) + "\n")

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on and note those that are not normal."""
        for event in events:
            if event.truth:
                self._write("line", _line_record(event, event.truth, self._run))
            yield event


def _run_record(scenario: Scenario, run: Voyage) -> dict[str, object]:
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "ship_id": run.ship_id,
        "run_id": run.id,
        "start": run.t0.isoformat(),
        "duration": scenario.duration,
    }


def _line_record(event: Event, truth: Truth, run: Voyage) -> dict[str, object]:
    return {
        "tracking_id": run.tracking_id(event),
        "episode": truth.episode,
        "role": truth.role,
        "root_device": truth.root,
        "device": event.device.id,
        "offset": round(event.offset, 6),
        "kind": "log" if isinstance(event.body, SimulatedLine) else "metric",
    }


class JsonLines:
    """A sink that writes each message as one line of JSON."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None:
        self._file.writelines(entry.model_dump_json() + "\n" for entry in entries)
