"""Field cases in a folder: files of lines and what should be found in each, without a fleet.

``expected.jsonl`` has a row for each case: its name (``case``; the file is NAME.in or ``file``),
the right ``types`` on one of the ``device``, ``severity_at_least``; or ``incidents: 0``. In the
file ``@{FORMAT:SECONDS}`` stands for a time, SECONDS from now.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiops_cli.ingest.lines import AcceptedLine, LineOrigin, outcomes
from aiops_core.errors import Misconfigured
from aiops_core.models import AnomalyDetected, Severity
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy

LABELS = "expected.jsonl"
TOKEN = re.compile(r"@\{(\w+):([+-]?\d+(?:\.\d+)?)\}")
JSON_NAMES = ("docker", "windows", "winlog", "starlink")
_FORMATS = {
    "bsd": "%b %e %H:%M:%S",
    "bsdms": "%b %e %H:%M:%S.{ms}",
    "bsdy": "%b %e %Y %H:%M:%S",
    "iso": "%Y-%m-%dT%H:%M:%S.{ms}Z",
    "isous": "%Y-%m-%dT%H:%M:%S.%fZ",
    "isons": "%Y-%m-%dT%H:%M:%S.%f789Z",
    "isoz": "%Y-%m-%dT%H:%M:%S.%f+00:00",
    "isosp": "%Y-%m-%d %H:%M:%S",
    "isomsp": "%Y-%m-%d %H:%M:%S.{ms}",
    "comma": "%Y-%m-%d %H:%M:%S,{ms}",
    "date": "%Y-%m-%d",
    "clock": "%H:%M:%S",
    "slash": "%Y/%m/%d %H:%M:%S",
    "mdy": "%m/%d/%Y %H:%M:%S",
    "ctime": "%a %b %e %H:%M:%S %Y",
    "clf": "%d/%b/%Y:%H:%M:%S +0000",
    "klog": "%m%d %H:%M:%S.%f",
    "nmead": "%d%m%y",
    "nmeat": "%H%M%S.00",
}
_UNITS = {"epoch": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """What was found in one case. *right*: as expected; *said*: what was found, for a person."""

    name: str
    quiet: bool
    right: bool
    said: str


def judge_folder(folder: Path, policy: DetectPolicy) -> list[JudgedCase]:
    """All cases in *folder* and below that say what should be found; raises Misconfigured."""
    files = sorted(folder.rglob(LABELS)) if folder.is_dir() else []
    if not files:
        raise Misconfigured(f"{folder}: no {LABELS} in it")
    now = datetime.now(UTC)
    rows = [(file.parent, json.loads(row)) for file in files for row in _rows(file)]
    chosen = [(place, row) for place, row in rows if "types" in row or row.get("incidents") == 0]
    return [_judged(place, row, policy, now) for place, row in chosen]


def _rows(file: Path) -> Sequence[str]:
    return [row for row in file.read_text("utf-8").splitlines() if row.strip()]


def _judged(
    folder: Path, row: Mapping[str, Any], policy: DetectPolicy, now: datetime
) -> JudgedCase:
    found = list(_anomalies(folder, row, policy, now))
    said = sorted({f"{one.anomaly_type} [{one.severity}] on {one.device}" for one in found})
    quiet = "types" not in row
    right = not found if quiet else any(_fits(one, row) for one in found)
    return JudgedCase(f"{folder.name}/{row['case']}", quiet, right, "; ".join(said) or "nothing")


def _fits(found: AnomalyDetected, row: Mapping[str, Any]) -> bool:
    devices = row.get("device") or []
    named = {devices} if isinstance(devices, str) else set(devices)
    least = Severity(row.get("severity_at_least") or row.get("severity") or "low")
    of_device = not named or {found.device, found.host} & named
    return (
        bool(of_device)
        and found.anomaly_type in row["types"]
        and found.severity.rank >= (least.rank)
    )


def _anomalies(
    folder: Path, row: Mapping[str, Any], policy: DetectPolicy, now: datetime
) -> Iterator[AnomalyDetected]:
    name = row.get("file", f"{row['case']}.in")
    target = name.removesuffix(".in")
    if "." not in target:
        target += ".json" if target.startswith(JSON_NAMES) else ".log"
    device = row.get("device")
    host = row.get("host") or (device if isinstance(device, str) else "origin-1")
    detection = Detection(policy)
    with TemporaryDirectory() as place:
        path = Path(place) / target
        path.write_text(dated((folder / name).read_text("utf-8"), now), "utf-8")
        for line in outcomes(path, LineOrigin.of(path, "field", host), lambda: now):
            for entry in line.entries if isinstance(line, AcceptedLine) else ():
                for message in detection.observe(entry):
                    if isinstance(message, AnomalyDetected):
                        yield message


def dated(text: str, now: datetime) -> str:
    """*text* with its tokens as times around *now*."""
    return TOKEN.sub(lambda token: _shown(token[1], now + timedelta(seconds=float(token[2]))), text)


def _shown(kind: str, at: datetime) -> str:
    if kind == "epochf":
        return f"{at.timestamp():.6f}"
    if kind in _UNITS:
        return f"{int(at.timestamp() * _UNITS[kind])}"
    if kind == "rollover":
        at, kind = at - timedelta(weeks=1024), "nmead"
    if kind not in _FORMATS:
        raise Misconfigured(f"@{{{kind}:…}}: there is no such format of a time")
    return at.strftime(_FORMATS[kind].replace("{ms}", f"{at.microsecond // 1000:03}"))
