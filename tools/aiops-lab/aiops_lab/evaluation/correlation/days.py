"""A simulated day of a ship whose dependencies nobody has typed: what it teaches, and then?

Faults of ``faults.yaml`` happen at random times to random devices that can have them, also on top
of each other, and there are unrelated errors. Lines go through the real detection, without the
broker. A seed gives one day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

from aiops_core.inventory.cofailures import Trouble, learned
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.inventory.suggestions import EdgeKey, Suggestions
from aiops_core.models import Anomaly, AnomalyContext, EnrichedAnomaly
from aiops_lab.evaluation.correlation.scores import LabelledRun
from aiops_lab.simulator.faults import FAULTS
from aiops_lab.simulator.inventory import SHIP, SimulatedShip
from aiops_lab.simulator.scenario import Injection, Scenario
from aiops_lab.simulator.traffic import DAY
from aiops_lab.simulator.voyage import Voyage
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy

MIDNIGHT = datetime(2026, 2, 28, tzinfo=UTC)
FAULTS_A_DAY = 50
LASTING = (30.0, 120.0)  # s
STORM = 1.0  # s: 500 anomalies, as good as 50,000
NOISY = 10  # times of unrelated errors, of two minutes each
RATE = 0.1  # normal lines per second
ROUND = 60.0  # s between two looks at what has become silent


@dataclass(frozen=True)
class Lesson:
    """What a day has taught. Edges are *false* if the ship has no way from one to the other."""

    suggestions: Suggestions
    false: frozenset[EdgeKey]

    def edges(self, least: float) -> tuple[int, int]:
        """How many have at least that confidence, and how many of them are false."""
        sure = [one.key for one in self.suggestions if one.confidence >= least]
        return len(sure), len(self.false.intersection(sure))


def day(seed: int, ship: SimulatedShip = SHIP, faults: int = FAULTS_A_DAY) -> Scenario:
    rng = Random(f"day:{seed}")
    chosen = [*_faults(rng, ship, faults)]
    chosen += [Injection("noise", rng.uniform(0, DAY - 200)) for _ in range(NOISY)]
    return Scenario(DAY, tuple(chosen), seed, RATE, interval=0, name=f"day {seed}", ship=ship)


def _faults(rng: Random, ship: SimulatedShip, count: int) -> Iterator[Injection]:
    possible = {
        fault.name: roots
        for fault in FAULTS.values()
        if (roots := [device.id for device in ship.devices if device.type in fault.roots])
    }
    for _ in range(count):
        name = rng.choice(list(possible))
        lasting = STORM if name == "storm" else rng.uniform(*LASTING)
        yield Injection(name, rng.uniform(600, DAY - 1000), rng.choice(possible[name]), lasting)


def lesson(scenario: Scenario, detect: DetectPolicy, learn: LearningPolicy) -> Lesson:
    """What the anomalies of *scenario* teach; the ship itself only says what of it is false."""
    troubles = [
        Trouble(anomaly.device, family, anomaly.ts)
        for anomaly in _detected(scenario, detect)
        if (family := learn.family_of(anomaly.anomaly_type))
    ]
    found = Suggestions().relearned("time", learned(troubles, learn.suggested.rules))
    above = scenario.ship.above
    return Lesson(found, frozenset(e.key for e in found if e.upstream not in above(e.device)))


def _detected(scenario: Scenario, policy: DetectPolicy) -> Iterator[Anomaly]:
    run, detection, looked = Voyage(MIDNIGHT, "ship", scenario.name), Detection(policy), 0.0
    for event in scenario:
        message = run.message(event)
        found = list(detection.observe(message))
        if event.offset - looked >= ROUND:
            looked = event.offset
            found += [outgoing.message for outgoing in detection.tick(message.ts)]
        yield from (one for one in found if isinstance(one, Anomaly))


def untyped(run: LabelledRun) -> LabelledRun:
    """*run* on a ship that has no inventory."""
    bare = [
        one.but(context=AnomalyContext()) if isinstance(one, EnrichedAnomaly) else one
        for one in run.messages
    ]
    return replace(run, inventory=Inventory(), messages=bare)
