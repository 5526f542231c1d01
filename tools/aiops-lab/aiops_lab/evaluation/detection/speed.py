"""The complete path of a log line, for ``aiops bench``: JSON in, all detectors, anomalies as JSON out.

Lines are those of the simulated ship with its faults, new ones all the time; the first ones only warm
up templates and caches. Time is that of the processor, so that others on the machine disturb little, and
the median of several pieces is told. The limit is what decoding the same lines alone takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import ParamSpec

from aiops_core.models import LogEntry
from aiops_lab.simulator import Run, named
from anomaly_detection.handler import Detection
from anomaly_detection.policy import DetectPolicy

P = ParamSpec("P")

WARM_UP = 20_000  # lines
PIECE = 2_000
PIECES = 15
RATE = 400.0  # lines per second of the simulated ship
START = datetime(2026, 6, 1, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Speed:
    """*measured* per second, and the *limit* that *limited_by* alone reaches on this machine now."""

    label: str
    measured: float
    limit: float
    limited_by: str

    @property
    def ratio(self) -> float:
        return self.measured / self.limit


def speeds(policies: Path) -> Sequence[Speed]:
    detection = Detection(DetectPolicy.load(policies))
    lines = _lines(WARM_UP + PIECES * PIECE)
    _run(detection, lines[:WARM_UP])
    pieces = [lines[n : n + PIECE] for n in range(WARM_UP, len(lines), PIECE)]
    whole = [_seconds(_run, detection, piece) for piece in pieces]
    decoding = [_seconds(_decode, piece) for piece in pieces]
    return [
        Speed(
            "detection of log lines",
            measured=PIECE / median(whole),
            limit=PIECE / median(decoding),
            limited_by="decoding them",
        )
    ]


def _lines(count: int) -> Sequence[bytes]:
    run, scenario = Run(START), named("overlap", rate=RATE)
    messages = (run.message(event) for event in scenario)
    logs = (message for message in messages if isinstance(message, LogEntry))
    return [line.model_dump_json().encode() for line in islice(logs, count)]


def _run(detection: Detection, lines: Sequence[bytes]) -> None:
    asyncio.run(_detect(detection, lines))


async def _detect(detection: Detection, lines: Sequence[bytes]) -> None:
    for line in lines:
        for message in await detection.on_line(LogEntry.model_validate_json(line)):
            message.model_dump_json()


def _decode(lines: Sequence[bytes]) -> None:
    for line in lines:
        LogEntry.model_validate_json(line)


def _seconds(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> float:
    started = time.process_time()
    work(*args, **kwargs)
    return time.process_time() - started
