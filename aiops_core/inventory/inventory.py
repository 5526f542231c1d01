"""The devices of the ship as a graph of dependencies. Pure.

An ``Inventory`` never changes. It takes devices as they are: a walk along a cycle ends where it
began, unknown parents are ignored. Imports refuse both (incident-api's ``devices/flaws.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from aiops_core.inventory.names import ids_by_alias, spellings
from aiops_core.models import Device

BUCKET, KEY = "devices", "inventory"  # where incident-api publishes the whole of it
_DEVICES = TypeAdapter(tuple[Device, ...])


class Inventory:
    """Devices by id, host name, IP address or display name, in any case.

    An id goes before a label, a label before a name. A label or name of two devices means none of
    them.
    """

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self._by_id = {device.id: device for device in devices}
        self._ids = ids_by_alias(self._by_id.values())
        self._above: dict[str, Mapping[str, int]] = {}
        self._below: dict[str, Mapping[str, int]] = {}

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """The inverse of ``to_json``; raises ValueError on anything else."""
        return cls(_DEVICES.validate_json(data))

    def to_json(self) -> bytes:
        return _DEVICES.dump_json(self.devices)

    @property
    def devices(self) -> tuple[Device, ...]:
        """By id: equal inventories are equal to the byte."""
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
        """The id that the first known of *names* stands for.

        A name is an id, a host name with or without domain, an IP address (both also with a
        port), or a display name.
        """
        for name in filter(None, names):
            for spelling in spellings(name):
                if id := self._ids.get(spelling):
                    return id
        return None

    def upstream_of(self, id: str) -> tuple[str, ...]:
        """All devices that *id* needs, nearest first, without itself; empty for an unknown id."""
        return tuple(self.above(id))

    def downstream_of(self, id: str) -> tuple[str, ...]:
        """All devices that need *id*, nearest first, without itself; empty for an unknown id."""
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
        """Devices that need *id* directly."""
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
