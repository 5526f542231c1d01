"""Random ships and scenarios by seed, to score policies on more than one ship.

The types of devices are those of ``SHIP``, so that its faults can happen; names, numbers and
dependencies are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from aiops_core.models import Device, Severity
from aiops_lab.simulator.faults import FAULTS
from aiops_lab.simulator.inventory import SimulatedShip
from aiops_lab.simulator.scenario import Injection, Scenario

# Type: how many there are at least and at most, and of which types each needs one.
_PLAN: Mapping[str, tuple[int, int, tuple[str, ...]]] = {
    "ups": (1, 3, ()),
    "gyro": (1, 1, ()),
    "gps": (1, 2, ()),
    "antenna": (1, 2, ()),
    "acu": (1, 2, ("antenna", "gyro")),
    "modem": (1, 3, ("acu",)),
    "router": (1, 2, ("modem",)),
    "core_switch": (1, 3, ("ups",)),
    "switch": (3, 10, ("core_switch",)),
    "firewall": (1, 2, ("router", "core_switch")),
    "wlc": (1, 2, ("switch",)),
    "ap": (3, 14, ("switch", "wlc")),
    "hypervisor": (2, 4, ("switch",)),
    "database": (1, 3, ("hypervisor",)),
    "directory": (1, 2, ("hypervisor",)),
    "dns": (1, 2, ("hypervisor",)),
    "fileserver": (1, 2, ("hypervisor",)),
    "mail": (0, 2, ("hypervisor", "firewall")),
    "app": (3, 8, ("database", "hypervisor")),
    "portal": (0, 2, ("wlc", "dns", "firewall")),
    "sync": (0, 1, ("hypervisor", "firewall")),
    "nvr": (1, 2, ("switch",)),
    "cctv_desk": (0, 2, ("nvr",)),
    "camera": (1, 6, ("switch",)),
    "signage": (0, 2, ("fileserver",)),
    "ecdis": (1, 2, ("gps", "gyro", "switch")),
    "radar": (1, 2, ("gyro", "switch")),
    "engine_gateway": (1, 2, ("switch",)),
    "exhaust_sensor": (0, 2, ("engine_gateway",)),
    "oil_sensor": (0, 2, ("engine_gateway",)),
    "generator": (1, 3, ("engine_gateway",)),
}
_FORTS = ("north", "south", "aft", "fwd", "port", "stbd", "mid", "top")
_LASTING = 45.0  # s
_NOISE = 0.4  # of the voyages have unrelated errors in them


def other_ship(seed: int) -> SimulatedShip:
    rng = Random(f"ship:{seed}")
    found: dict[str, list[Device]] = {}
    for kind, (least, most, needs) in _PLAN.items():
        count = rng.randint(least, most)
        found[kind] = [_device(rng, kind, n, needs, found) for n in range(count)]
    return SimulatedShip(device for devices in found.values() for device in devices)


def _device(
    rng: Random, kind: str, n: int, needs: Sequence[str], found: Mapping[str, Sequence[Device]]
) -> Device:
    upstream = tuple(rng.choice(found[need]).id for need in needs if found[need])
    name = f"{rng.choice(_FORTS)}{kind[:4]}{n}{rng.randint(0, 9)}"
    criticality = rng.choice(list(Severity))
    return Device(id=name, type=kind, criticality=criticality, upstream=upstream)


def other_voyage(seed: int, faults: int = 4) -> Scenario:
    """Several faults that overlap in time, on devices of which none needs another."""
    rng = Random(f"voyage:{seed}")
    ship = other_ship(seed)
    injections = list(_injections(rng, ship, faults))
    if rng.random() < _NOISE:
        injections.append(Injection("noise", 0, duration=60))
    return Scenario(150, tuple(injections), seed=seed, name=f"other ship {seed}", ship=ship)


def _injections(rng: Random, ship: SimulatedShip, count: int) -> Iterator[Injection]:
    taken: set[str] = set()
    usual = [fault for fault in FAULTS.values() if fault.name not in ("slow_burn", "storm")]
    attacked = False  # attackers share a few addresses: two of their attacks may well be one
    for fault in rng.choices(usual, k=3 * count):
        if attacked and fault.name == "credential_attack":
            continue
        roots = [device.id for device in ship.devices if device.type in fault.roots]
        root = rng.choice(roots)
        if root in taken or count == 0:
            continue
        taken |= {root, *ship.above(root), *ship.below(root)}
        count -= 1
        attacked |= fault.name == "credential_attack"
        yield Injection(fault.name, rng.uniform(3, 50), root, rng.uniform(0.6, 1.4) * _LASTING)
