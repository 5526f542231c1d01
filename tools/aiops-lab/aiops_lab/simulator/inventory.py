"""The ship of ``devices.csv``: 50 devices and what each needs to work (``Device.upstream``, a DAG).

Two legs lead to the shore: Ku-band (antenna, ACU, modem, edge router, firewall), which carries
the ship's business, and an L-band terminal for calls and tracking. Hotel and IT hang below
``sw-core-01``, bridge and engine below ``sw-core-02``. GPS and gyro are wired serially and need
nobody.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from aiops_core.models import Device


class UnknownDeviceError(LookupError):
    """A device that this ship does not have."""


class SimulatedShip:
    """The devices of one ship and their dependencies. Refuses unknown upstream ids and cycles."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._by_id = {device.id: device for device in devices}
        self._refuse_unknown()
        self._refuse_cycles()

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self._by_id.values())

    def __getitem__(self, device_id: str) -> Device:
        try:
            return self._by_id[device_id]
        except KeyError:
            raise UnknownDeviceError(f"no device {device_id!r} on this ship") from None

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._by_id

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        return {id_: tuple(d.id for d in self.devices if id_ in d.upstream) for id_ in self._by_id}

    def children(self, device_id: str) -> tuple[Device, ...]:
        """The devices that need *device_id* directly."""
        return tuple(self._by_id[id_] for id_ in self._children[self[device_id].id])

    def descendants(self, device_id: str) -> dict[str, int]:
        """Every device downstream of *device_id* and its distance in hops, nearest first."""
        return _walk(device_id, lambda id_: self._children[id_])

    def ancestors(self, device_id: str) -> dict[str, int]:
        """Every device upstream of *device_id* and its distance in hops, nearest first."""
        return _walk(device_id, lambda id_: self[id_].upstream)

    def branch(self, device_id: str) -> frozenset[str]:
        """The device and all that hangs on it."""
        return frozenset({self[device_id].id, *self.descendants(device_id)})

    def independent(self, one: str, other: str) -> bool:
        """Whether nothing hangs on both devices, and neither on the other."""
        return self.branch(one).isdisjoint(self.branch(other))

    def _refuse_unknown(self) -> None:
        for device in self.devices:
            for parent in device.upstream:
                if parent not in self._by_id:
                    raise UnknownDeviceError(f"{device.id} needs {parent!r}, which nobody knows")

    def _refuse_cycles(self) -> None:
        for id_ in self._by_id:
            if id_ in self.ancestors(id_):
                raise ValueError(f"{id_} would need itself")


def _walk(start: str, neighbours: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Breadth first: hops of everything reachable; *start* itself only when it lies on a cycle."""
    found: dict[str, int] = {}
    frontier, hops = tuple(neighbours(start)), 1
    while frontier:
        new = [id_ for id_ in dict.fromkeys(frontier) if id_ not in found]
        found.update(dict.fromkeys(new, hops))
        frontier, hops = tuple(n for id_ in new for n in neighbours(id_)), hops + 1
    return found


def _devices() -> Iterator[Device]:
    with Path(__file__).with_name("devices.csv").open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            upstream, ip = row.pop("upstream").split(), f"10.20.{number // 20}.{10 + number}"
            yield Device.model_validate({**row, "upstream": upstream, "labels": {"ip": ip}})


SHIP = SimulatedShip(_devices())
