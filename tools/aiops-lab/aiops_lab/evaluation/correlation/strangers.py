"""Random ships, faults and anomaly types, for which nothing was tuned. Pure: a seed gives one run.

A random graph of devices has faults on several of them, which overlap in time and often in the
devices below. A fault shows on the device that failed and on some below it, a second or two later
per hop. Some failed devices are silent, some report late; there is noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyContext, Device, Domain, EnrichedAnomaly, Severity
from aiops_lab.evaluation.correlation.scores import LabelledRun

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
SYLLABLES = ("ka", "ro", "mi", "tel", "zan", "ux", "pel", "dor", "ven", "qi")
WORDS = ("degraded", "fault", "timeout", "alarm", "mismatch", "overrun", "stall", "drop", "retry")
POINTING_UP = ("device_unreachable", "link_down", "uplink_connection_lost")


@dataclass(frozen=True)
class StrangerFault:
    id: str
    root: str
    start: float  # s
    length: float
    silent: bool = False  # the failed device reports nothing


def run(
    seed: int, devices: int = 40, faults: int = 5, noise: int = 6, silent: float = 0.15
) -> LabelledRun:
    """*noise* is a number of anomalies, *silent* a share of the faults."""
    rng = Random(f"stranger:{seed}")
    inventory = graph(rng, devices)
    chosen = list(_faults(rng, inventory, faults, silent))
    found: list[tuple[EnrichedAnomaly, str | None]] = [
        (one, fault.id) for fault in chosen for one in _anomalies(rng, inventory, fault)
    ]
    found += [(_noise(rng, inventory, n), None) for n in range(noise)]
    late = {id(a): a.ts + timedelta(seconds=rng.uniform(0, 3)) for a, _ in found}
    found.sort(key=lambda pair: late[id(pair[0])])
    return LabelledRun(
        name=f"strange ship, seed {seed}",
        inventory=inventory,
        messages=[anomaly for anomaly, _ in found],
        fault_of={anomaly.anomaly_id: fault for anomaly, fault in found},
        roots={fault.id: fault.root for fault in chosen},
    )


def graph(rng: Random, devices: int) -> Inventory:
    """A few sources of supply; every other device needs one or two earlier devices."""
    names = _names(rng, devices)
    sources = max(2, devices // 12)
    found = []
    for n, name in enumerate(names):
        above = names[max(0, n // 4 - 2) : max(sources, n // 2)] if n >= sources else []
        upstream = rng.sample(above, min(len(above), 2 if rng.random() < 0.2 else 1))
        found.append(Device(id=name, upstream=tuple(upstream)))
    return Inventory(found)


def _names(rng: Random, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        word = "".join(rng.choices(SYLLABLES, k=2))
        names[f"{word}-{rng.randint(1, 99):02d}"] = None
    return list(names)


def _faults(
    rng: Random, inventory: Inventory, count: int, silent: float
) -> Iterator[StrangerFault]:
    """Faults on devices that do not need each other: below a fault the truth is ambiguous."""
    free = [d.id for d in inventory.devices if d.upstream or inventory.children_of(d.id)]
    rng.shuffle(free)
    for n in range(count):
        if not free:
            return
        root = free.pop()
        related = {*inventory.upstream_of(root), *inventory.downstream_of(root)}
        free = [other for other in free if other not in related]
        mute = rng.random() < silent and len(inventory.children_of(root)) >= 2
        yield StrangerFault(f"f{n}", root, rng.uniform(0, 60), rng.uniform(30, 120), mute)


def _anomalies(
    rng: Random, inventory: Inventory, fault: StrangerFault
) -> Iterator[EnrichedAnomaly]:
    """On the failed device and on devices below it."""
    if not fault.silent:
        lag = rng.uniform(5, 25) if rng.random() < 0.2 else 0.0
        yield from _on(rng, inventory, fault, fault.root, lag, _types(rng))
    for device, hops in inventory.below(fault.root).items():
        direct = fault.silent and hops == 1
        if direct or rng.random() < 0.6:
            delay = sum(rng.uniform(0.5, 2.5) for _ in range(hops))
            types = POINTING_UP if direct else _types(rng)
            yield from _on(rng, inventory, fault, device, delay, types)


def _types(rng: Random) -> Sequence[str]:
    """Made up, like types of third-party detectors."""
    return [f"{rng.choice(SYLLABLES)}_{rng.choice(WORDS)}" for _ in range(rng.randint(1, 3))]


def _on(
    rng: Random,
    inventory: Inventory,
    fault: StrangerFault,
    device: str,
    delay: float,
    types: Sequence[str],
) -> Iterator[EnrichedAnomaly]:
    at, end = fault.start + delay, fault.start + fault.length
    every = rng.uniform(2, 10)
    while at < max(end, fault.start + delay + 1):
        yield _anomaly(rng, inventory, device, rng.choice(types), at)
        at += rng.expovariate(1 / every)


def _noise(rng: Random, inventory: Inventory, n: int) -> EnrichedAnomaly:
    device = rng.choice(inventory.devices).id
    return _anomaly(rng, inventory, device, "log_error", rng.uniform(0, 180))


def _anomaly(
    rng: Random, inventory: Inventory, device: str, kind: str, at: float
) -> EnrichedAnomaly:
    above = tuple(inventory.get(id_) or Device(id=id_) for id_ in inventory.upstream_of(device)[:8])
    ts = T0 + timedelta(seconds=at)
    return EnrichedAnomaly(
        tracking_id=f"{rng.getrandbits(64):016x}",
        ship_id="stranger",
        ts=ts,
        stages={"enrich": ts},
        domain=Domain.APP,
        anomaly_type=kind,
        service=f"svc-{kind[:2]}",
        device_id=device,
        host=device,
        detector="stranger",
        score=0.7,
        severity=rng.choice(list(Severity)),
        msg=f"{kind} on {device}",
        context=AnomalyContext(device=inventory.get(device), upstream=above),
    )
