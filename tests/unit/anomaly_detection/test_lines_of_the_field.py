"""Lines of many devices in one pass: daily life raises nothing, faults are found by their type."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_core.models import AnomalyDetected, LogEntry, Severity
from aiops_lab.simulator.scenario import named
from aiops_lab.simulator.voyage import Voyage
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.samples import entry_of

LINES: Any = yaml.safe_load(Path(__file__).with_name("lines_of_the_field.yaml").read_text())
POLICIES = Path(__file__).parents[3] / "policies"
FOUND = 0.9  # share of the faults
MUTANTS = 3000
SLOWEST = 0.05  # CPU seconds for one line


@lru_cache
def policy() -> DetectPolicy:
    return DetectPolicy.load(POLICIES)


def judged(detection: Detection, line: str) -> list[AnomalyDetected]:
    found = detection.on_line(entry_of(line))
    return [one for one in found if isinstance(one, AnomalyDetected)]


def test_daily_life_raises_nothing() -> None:
    detection = Detection(policy())
    wrong = {
        line: [f"{one.anomaly_type} by {one.meta.get('rule')}" for one in serious]
        for line in LINES["normal"]
        if (serious := [o for o in judged(detection, line) if o.severity > Severity.LOW])
    }
    assert not wrong


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quiet_day_of_the_simulator_raises_nothing(seed: int) -> None:
    detection, voyage = Detection(policy()), Voyage(datetime(2026, 6, 1, 10, tzinfo=UTC))
    lines = (voyage.message(event) for event in named("quiet", seed=seed, rate=20))
    found = {
        (one.meta.get("rule"), one.msg)
        for line in lines
        if isinstance(line, LogEntry)
        for one in detection.on_line(line)
        if isinstance(one, AnomalyDetected)
    }
    assert not found


def test_faults_are_found_by_their_type() -> None:
    detection = Detection(policy())
    missed = {}
    for fault in LINES["faults"]:
        types = [one.anomaly_type for one in judged(detection, fault["line"])]
        if not set(types) & set(fault["types"]):
            missed[fault["line"]] = types
    assert len(missed) <= (1 - FOUND) * len(LINES["faults"]), missed


def test_the_file_is_large_enough() -> None:
    assert len(LINES["normal"]) >= 300
    assert len(LINES["faults"]) >= 150


@pytest.mark.parametrize("seed", [1])
def test_mutants_neither_raise_nor_take_long(seed: int) -> None:
    chance = random.Random(seed)
    lines = [*LINES["normal"], *(fault["line"] for fault in LINES["faults"])]
    detection = Detection(policy())
    slow = []
    for _ in range(MUTANTS):
        line = mutant(chance.choice(lines), lines, chance)
        judged(detection, line)
        # the second time no cache is cold, and no collection of garbage is likely
        if cpu_time(detection, line) > SLOWEST and cpu_time(detection, line) > SLOWEST:
            slow.append(line)
    assert not slow


def cpu_time(detection: Detection, line: str) -> float:
    started = time.process_time()
    judged(detection, line)
    return time.process_time() - started


JUNK = (
    *("\x00", "\ufeff", "\u202e", "é", '"', "'", "{", "}", "[", "<", "|", "\\", "%", "\t", "::"),
    *("<189>", "CEF:0|", '{"a":', "$GPGGA,", "#012", "\x1b[31m", "a" * 300, " failed" * 40),
    *("0 " * 200, '="' * 80, "not " * 60, "port 1 " * 80, "temperature is " * 40, "(" * 200),
)


def mutant(line: str, lines: list[str], chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(line))
        other = chance.choice(lines)
        line = chance.choice(
            (
                line[:at],
                line[at:],
                line[:at] + chance.choice(JUNK) + line[at:],
                line[:at] + chr(chance.randrange(1, 0x3000)) + line[at + 1 :],
                line[:at] + other[chance.randint(0, len(other)) :],
                line * chance.randint(1, 6),
            )
        )[:8000]
    return line
