"""One performance of a scenario: its events as messages, and its truth as a file."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

from aiops_core.models import LogEntry, MetricSample, derived_id
from aiops_lab.simulator.scenario import Event, Scenario
from aiops_lab.simulator.traffic import SimulatedLine
from aiops_lab.simulator.truth import Truth

SOURCE = "simulator"

Emit = Callable[[Sequence[LogEntry | MetricSample]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Voyage:
    """One performance of a scenario: when offset 0 was, on which ship, and its own name.

    The id makes tracking ids: the same run gives the same ids, another run others.
    """

    t0: datetime
    ship_id: str = "ship-01"
    id: str = "run"

    def at(self, event: Event) -> datetime:
        return self.t0 + timedelta(seconds=event.offset)

    def tracking_id(self, event: Event) -> str:
        return derived_id(SOURCE, self.id, str(event.sequence))

    def message(self, event: Event, ingest: datetime | None = None) -> LogEntry | MetricSample:
        """The message of the event; *ingest*: when it reached the platform, by default ``ts``."""
        at, body = self.at(event), event.body
        common: dict[str, Any] = {
            "tracking_id": self.tracking_id(event),
            "ship_id": self.ship_id,
            "ts": at,
            "stages": {"ingest": ingest or at},
            "host": event.device.id,
            "device_id": event.device.id,
        }
        if isinstance(body, SimulatedLine):
            return LogEntry(
                **common, service=body.service, level=body.level, msg=body.text, source=SOURCE
            )
        return MetricSample(
            **common,
            service=event.device.type,
            metric=body.metric,
            value=body.value,
            unit=body.unit,
        )


def recorded(scenario: Scenario, run: Voyage, file: TextIO) -> Iterator[Event]:
    """The events of *scenario*; meanwhile *file* gets what ``truth`` describes."""
    _write(file, "run", _run_record(scenario, run))
    for episode in scenario.episodes:
        _write(file, "episode", asdict(episode))
    for event in scenario:
        if event.truth:
            _write(file, "line", _line_record(event, event.truth, run))
        yield event


def _write(file: TextIO, record: str, fields: Mapping[str, object]) -> None:
    file.write(json.dumps({"record": record, **fields}) + "\n")


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


def json_lines(file: TextIO) -> Emit:
    """Writes each message as one line of JSON."""

    async def write(entries: Sequence[LogEntry | MetricSample]) -> None:
        file.writelines(entry.model_dump_json() + "\n" for entry in entries)

    return write
