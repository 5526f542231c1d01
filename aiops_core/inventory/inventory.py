"""The devices of the ship as a graph of dependencies. Pure.

An ``Inventory`` never changes. It takes devices as they are: a walk along a cycle ends where it
began, unknown parents are ignored. Imports refuse both (incident-api's ``devices/flaws.py``).

Suggested edges may lie over what people have typed, also between names that no device has.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from aiops_core.inventory.names import ids_by_alias, spellings
from aiops_core.inventory.suggestions import SuggestedEdge
from aiops_core.models import Device

BUCKET, KEY = "devices", "inventory"  # where incident-api publishes the whole of it
_DEVICES = TypeAdapter(tuple[Device, ...])


class Inventory:
    """Devices by id, host name, IP address or display name, in any case.

    An id goes before a label, a label before a name. A label or name of two devices means none of
    them. Of *suggested* edges those count that say something new and make no circle with what is
    typed or with stronger ones.
    """

    def __init__(
        self, devices: Iterable[Device] = (), suggested: Iterable[SuggestedEdge] = ()
    ) -> None:
        self._by_id = {device.id: device for device in devices}
        self._ids = ids_by_alias(self._by_id.values())
        self._above: dict[str, Mapping[str, int]] = {}
        self._below: dict[str, Mapping[str, int]] = {}
        self._probable: dict[str, Mapping[str, float]] = {}
        self._suggested: defaultdict[str, dict[str, SuggestedEdge]] = defaultdict(dict)
        for edge in sorted(suggested, key=lambda e: (-e.confidence, e.device, e.upstream)):
            self._suggest(edge)

    def with_suggested(self, edges: Iterable[SuggestedEdge]) -> Inventory:
        """The same devices with other suggested edges."""
        return Inventory(self.devices, edges)

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
        if not isinstance(other, Inventory):
            return False
        return self._by_id == other._by_id and self._suggested == other._suggested

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
        if id not in self._above and self._has(id):
            self._above[id] = dict(self._walk(id, self._parents))
        return self._above.get(id, {})

    def below(self, id: str) -> Mapping[str, int]:
        """``downstream_of`` with the distance of each."""
        if id not in self._below and self._has(id):
            self._below[id] = dict(self._walk(id, self.children_of))
        return self._below.get(id, {})

    def children_of(self, id: str) -> tuple[str, ...]:
        """Devices that need *id* directly."""
        return self._children.get(id, ())

    @property
    def suggested(self) -> tuple[SuggestedEdge, ...]:
        """The suggested edges that count, by device."""
        return tuple(e for id in sorted(self._suggested) for e in self._suggested[id].values())

    def suggestion(self, id: str, upstream: str) -> SuggestedEdge | None:
        """The suggested edge by which *id* needs *upstream* directly."""
        return self._suggested.get(id, {}).get(upstream)

    def probable(self, id: str) -> Mapping[str, float]:
        """Those of ``above`` to which only a way over suggested edges leads, with the confidence of
        the surest one: the product of its edges."""
        if not self._suggested:
            return {}
        if id not in self._probable:
            sure = {id, *(n for n, _ in self._walk(id, self._typed))}
            ways, found = [(-1.0, one) for one in sure], dict[str, float]()
            heapq.heapify(ways)
            while ways:
                cost, one = heapq.heappop(ways)
                if one in found:
                    continue
                found[one] = -cost
                for parent in self._parents(one):
                    edge = self.suggestion(one, parent)
                    heapq.heappush(ways, (cost * (edge.confidence if edge else 1.0), parent))
            self._probable[id] = {n: round(c, 3) for n, c in found.items() if n not in sure}
        return self._probable[id]

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        children: dict[str, list[str]] = {id: [] for id in self._by_id}
        for device in self.devices:
            for parent in dict.fromkeys(device.upstream):
                if parent in children:
                    children[parent].append(device.id)
        for edge in self.suggested:
            children.setdefault(edge.upstream, []).append(edge.device)
        return {id: tuple(found) for id, found in children.items()}

    def _has(self, id: str) -> bool:
        """Whether it is a device, or an end of a suggested edge."""
        return id in self._by_id or id in self._suggested or id in self._children

    def _suggest(self, edge: SuggestedEdge) -> None:
        """Let *edge* count; all that count already are stronger."""
        id, upstream = (self.resolve(name) or name for name in edge[:2])
        if id == upstream or upstream in self._typed(id):
            return
        if any(above == id for above, _ in self._walk(upstream, self._parents)):
            return
        self._suggested[id].setdefault(upstream, edge._replace(device=id, upstream=upstream))

    def _typed(self, id: str) -> Sequence[str]:
        device = self._by_id.get(id)
        return [p for p in device.upstream if p in self._by_id] if device else ()

    def _parents(self, id: str) -> Sequence[str]:
        return (*self._typed(id), *self._suggested.get(id, ()))

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
