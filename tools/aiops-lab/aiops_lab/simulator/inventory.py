"""The ship of ``devices.csv``: 50 devices and what each needs to work (``Device.upstream``, a DAG).

Two legs lead to the shore: Ku-band (antenna, ACU, modem, edge router, firewall), which carries
the ship's business, and an L-band terminal for calls and tracking. Hotel and IT hang below
``sw-core-01``, bridge and engine below ``sw-core-02``. GPS and gyro are wired serially and need
nobody.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Device
from incident_api.devices.import_rules import find_flaws


class SimulatedShip(Inventory):
    """The devices of one ship in the order of their list. Refuses unknown upstreams and cycles."""

    def __init__(self, devices: Iterable[Device]) -> None:
        super().__init__(devices)
        if flaws := find_flaws(self.devices):
            raise ValueError("; ".join(flaw.text for flaw in flaws))

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self._by_id.values())

    def __getitem__(self, device_id: str) -> Device:
        try:
            return self._by_id[device_id]
        except KeyError:
            raise LookupError(f"no device {device_id!r} on this ship") from None

    def branch(self, device_id: str) -> frozenset[str]:
        """The device and all that hangs on it."""
        return frozenset({self[device_id].id, *self.below(device_id)})

    def independent(self, one: str, other: str) -> bool:
        """Whether nothing hangs on both devices, and neither on the other."""
        return self.branch(one).isdisjoint(self.branch(other))


def _devices() -> Iterator[Device]:
    with Path(__file__).with_name("devices.csv").open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            upstream, ip = row.pop("upstream").split(), f"10.20.{number // 20}.{10 + number}"
            yield Device.model_validate({**row, "upstream": upstream, "labels": {"ip": ip}})


SHIP = SimulatedShip(_devices())
