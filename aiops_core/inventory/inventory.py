"""The devices of the ship as a graph: who is meant by a name, what it needs, and what needs it. Pure.

An ``Inventory`` never changes once built, and takes devices as they are: a cycle ends where it began,
an unknown parent is passed over. ``Inventory.of`` refuses both, and is how devices get in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from aiops_core.errors import AiopsError
from aiops_core.inventory.flaws import Flaw, find_flaws
from aiops_core.inventory.names import ids_by_alias, spellings
from aiops_core.models import Device

BUCKET, KEY = "devices", "inventory"  # where incident-api publishes the whole of it
_DEVICES = TypeAdapter(tuple[Device, ...])


class BadInventory(AiopsError):
    """Devices that cannot be an inventory; *flaws* says why of each."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(flaw.text for flaw in flaws))
        self.flaws = tuple(flaws)


class Inventory:
    """Devices by id, host name, IP address or display name, in any case.

    An id goes before a label, a label before a name; a label or name that two devices share means none.
    """

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self._by_id = {device.id: device for device in devices}
        self._ids = ids_by_alias(self._by_id.values())
        self._above: dict[str, Mapping[str, int]] = {}
        self._below: dict[str, Mapping[str, int]] = {}

    @classmethod
    def of(cls, devices: Sequence[Device]) -> Self:
        """Raises BadInventory with everything that is wrong: ids given twice, unknown parents, cycles."""
        if flaws := find_flaws(devices):
            raise BadInventory(flaws)
        return cls(devices)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """What ``to_json`` wrote; raises ValueError on anything else."""
        return cls(_DEVICES.validate_json(data))

    def to_json(self) -> bytes:
        return _DEVICES.dump_json(self.devices)

    @property
    def devices(self) -> tuple[Device, ...]:
        """By id, so that two equal inventories are equal to the byte."""
        return tuple(self._by_id[id] for id in sorted(self._by_id))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inventory) and self._by_id == other._by_id

    __hash__ = None  # type: ignore[assignment]

    def get(self, id: str) -> Device | None:
        return self._by_id.get(id)

    def resolve(self, *names: str | None) -> str | None:
        """The id of the device that the first known of *names* stands for: an id, a host name with or
        without its domain, an IP address, either with a port, or a display name."""
        for name in filter(None, names):
            for spelling in spellings(name):
                if id := self._ids.get(spelling):
                    return id
        return None

    def upstream_of(self, id: str) -> tuple[str, ...]:
        """All that *id* needs to work, nearest first, itself never; nothing of an unknown one."""
        return tuple(self.above(id))

    def downstream_of(self, id: str) -> tuple[str, ...]:
        """All that needs *id* to work, nearest first, itself never; nothing of an unknown one."""
        return tuple(self.below(id))

    def above(self, id: str) -> Mapping[str, int]:
        """``upstream_of`` with the distance of each: 1 is a direct dependency."""
        if id not in self._above and id in self._by_id:
            self._above[id] = dict(self._walk(id, self._parents))
        return self._above.get(id, {})

    def below(self, id: str) -> Mapping[str, int]:
        """``downstream_of`` with the distance of each."""
        if id not in self._below and id in self._by_id:
            self._below[id] = dict(self._walk(id, self.children_of))
        return self._below.get(id, {})

    def children_of(self, id: str) -> tuple[str, ...]:
        """What needs *id* directly."""
        return self._children.get(id, ())

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        children: dict[str, list[str]] = {id: [] for id in self._by_id}
        for device in self.devices:
            for parent in dict.fromkeys(device.upstream):
                if parent in children:
                    children[parent].append(device.id)
        return {id: tuple(found) for id, found in children.items()}

    def _parents(self, id: str) -> Sequence[str]:
        device = self._by_id.get(id)
        return [p for p in device.upstream if p in self._by_id] if device else ()

    @staticmethod
    def _walk(id: str, neighbours: Callable[[str], Sequence[str]]) -> Iterator[tuple[str, int]]:
        """Breadth first from *id*: each device once, with its distance."""
        found, level = {id}, [id]
        for hops in itertools.count(1):
            level = [
                n for n in dict.fromkeys(n for d in level for n in neighbours(d)) if n not in found
            ]
            if not level:
                return
            found.update(level)
            yield from ((n, hops) for n in level)
