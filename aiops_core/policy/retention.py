"""``policies/retention.yaml``: how long messages and rows are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import Field

from aiops_core.errors import Misconfigured
from aiops_core.policy.file import Policy, Replay, Section

P = TypeVar("P", bound=Policy)


class Promise(Section):
    """The load that a ship sustains: at this load too, every stream must keep what a service
    reads again when it starts."""

    lines_per_s: float = Field(gt=0)
    anomalies_per_s: float = Field(gt=0)


class StreamLimits(Section):
    """When a stream drops its oldest messages: whichever limit comes first."""

    max_age: timedelta
    max_bytes: int = Field(ge=1_000_000)


class Streams(Section):
    logs: StreamLimits
    anomalies: StreamLimits
    incidents: StreamLimits
    ops: StreamLimits


class Tables(Section):
    """Days that rows stay in ClickHouse."""

    logs_raw: int = Field(ge=1)
    anomalies: int = Field(ge=1)
    incidents: int = Field(ge=1)


# Bytes in each stream, headers included, of all messages that one line (logs) or one anomaly (the
# others) causes. On the simulator's ship: 540 a line; an anomaly 938 + 2,516 (detected, enriched),
# 2,232 of facts and 1,021 of recoveries. Under `aiops bench`, 300 lines/s: 638, 843 + 2,269, and
# 1,713. tests/unit/aiops_core/test_retention.py measures them again.
COSTS = {"logs": 700, "anomalies": 3_500, "incidents": 3_300}


class RetentionPolicy(Policy):
    file: ClassVar[str] = "retention.yaml"

    promise: Promise
    streams: Streams
    tables_days: Tables

    def flaws(self, needed: Policy, folder: Path) -> Iterator[str]:
        """The limits that are too small for *needed*, with file, line and key."""
        for replay in needed.replays():
            limits: StreamLimits = getattr(self.streams, replay.stream)
            if limits.max_age < replay.span:
                place = self.where(folder, ("streams", replay.stream, "max_age"))
                yield f"{place}: {_hours(limits.max_age)}, but {_reason(needed, replay)}"
            cost = COSTS[replay.stream]
            load = "lines_per_s" if replay.stream == "logs" else "anomalies_per_s"
            rate: float = getattr(self.promise, load)
            kept = timedelta(seconds=limits.max_bytes / (rate * cost))
            if kept < replay.span:
                place = self.where(folder, ("streams", replay.stream, "max_bytes"))
                least = round(replay.span.total_seconds() * rate * cost)
                yield (
                    f"{place}: {limits.max_bytes} bytes are {_hours(kept)} at {load} {rate:g},"
                    f" but {_reason(needed, replay)}: at least {least} bytes"
                )


def load_with_retention(kind: type[P], folder: Path) -> P:
    """The policy of *kind*; raises Misconfigured when a stream is too small for its replays."""
    policy = kind.load(folder)
    if flaws := list(RetentionPolicy.load(folder).flaws(policy, folder)):
        raise Misconfigured("; ".join(flaws))
    return policy


def _reason(needed: Policy, replay: Replay) -> str:
    return f"{needed.file} needs {_hours(replay.span)} ({replay.why})"


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.2f} h"
