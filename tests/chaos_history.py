"""A made-up history of faults on a made-up ship, the same for the same seed.

Devices form a random tree. A fault begins on one of them and shows, a little later, on those that
depend on it; both repeat while it lasts. Of the other devices, each may have one single error.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyDetected, Device, derived_id
from aiops_lab.bench.load import KINDS

DEVICES = 60
FAULTS = 8
SPREADS = 3.0  # seconds until a symptom follows at most
SYMPTOMS = 6  # dependants that show a fault at most
SINGLES = 0.05  # share of troubles that belong to no fault, while there are devices without
CAUSE = KINDS[0]  # a link that is down explains what lies behind it


@dataclass(frozen=True)
class MadeUpFault:
    """Something that goes wrong at *origin* and shows on *symptoms*; times in seconds."""

    origin: str
    symptoms: Sequence[str]
    begins: float
    ends: float


def tree(rng: random.Random, devices: int) -> Inventory:
    """Random, each device behind one that came before it; no deeper than chance makes it."""
    ids = [f"dev-{n:03}" for n in range(devices)]
    found = [Device(id=ids[0])]
    for n in range(1, devices):
        found.append(Device(id=ids[n], upstream=(ids[rng.randrange(max(0, n - 12), n)],)))
    return Inventory(found)


def faults_of(rng: random.Random, inventory: Inventory, seconds: float) -> list[MadeUpFault]:
    """Some faults on branches that do not touch, at random times."""
    free = {device.id for device in inventory.devices}
    origins = sorted(free, key=lambda _: rng.random())
    found: list[MadeUpFault] = []
    for origin in origins:
        below = inventory.downstream_of(origin)
        branch = {origin, *below, *inventory.upstream_of(origin)}
        if not below or not branch <= free or len(found) == FAULTS:
            continue
        free -= {origin, *below}
        begins = rng.uniform(0, seconds / 2)
        symptoms = rng.sample(below, min(len(below), SYMPTOMS))
        found.append(MadeUpFault(origin, symptoms, begins, rng.uniform(begins + 5, seconds)))
    return found


def history(
    seed: int, ship_id: str, began: datetime, *, rate: float, seconds: float
) -> tuple[Inventory, list[AnomalyDetected]]:
    """The devices, and *rate* anomalies a second in the order of their times."""
    rng = random.Random(seed)
    inventory = tree(rng, DEVICES)
    faults = faults_of(rng, inventory, seconds)
    times = sorted(rng.uniform(0, seconds) for _ in range(round(rate * seconds)))
    return inventory, list(_anomalies(rng, faults, inventory, ship_id, began, times))


def _anomalies(
    rng: random.Random,
    faults: Sequence[MadeUpFault],
    inventory: Inventory,
    ship_id: str,
    began: datetime,
    times: Sequence[float],
) -> Iterator[AnomalyDetected]:
    everyone = [device.id for device in inventory.devices]
    ill = {d for f in faults for d in (f.origin, *inventory.downstream_of(f.origin))}
    well = [device for device in everyone if device not in ill]
    for n, at in enumerate(times):
        active = [f for f in faults if f.begins <= at <= f.ends] or faults[:1]
        if well and rng.random() < SINGLES:
            device, kind = well.pop(rng.randrange(len(well))), KINDS[6]
        else:
            fault = rng.choice(active)
            late = at - fault.begins > SPREADS
            device = rng.choice([fault.origin, *fault.symptoms]) if late else fault.origin
            kind = CAUSE if device == fault.origin else KINDS[1 + everyone.index(device) % 5]
        yield _anomaly(derived_id(ship_id, str(n)), ship_id, began, at, device, kind, n)


def _anomaly(
    tracking_id: str,
    ship_id: str,
    began: datetime,
    at: float,
    device: str,
    kind: tuple[str, object, str, float, object, str],
    n: int,
) -> AnomalyDetected:
    anomaly_type, domain, service, score, severity, text = kind
    ts = began + timedelta(seconds=at)
    return AnomalyDetected.model_validate(
        {
            "tracking_id": tracking_id,
            "ship_id": ship_id,
            "ts": ts,
            "stages": {"ingest": ts, "detect": ts},
            "domain": domain,
            "anomaly_type": anomaly_type,
            "service": service,
            "device_id": device,
            "host": device,
            "detector": "bench",
            "score": score,
            "severity": severity,
            "msg": text.format(n=n % 250),
            "reason": f"{service} says so",
        }
    )
