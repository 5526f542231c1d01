"""The flaws of an inventory: repeated ids, unknown parents, cycles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aiops_core.models import Device

Graph = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Flaw:
    """*index* is the position of the device in the list, from 0."""

    index: int
    field: Literal["id", "upstream"]
    text: str


def find_flaws(devices: Sequence[Device]) -> list[Flaw]:
    """All flaws, in the order of the list."""
    found = [*_doubles(devices), *_strangers(devices), *_cycles(devices)]
    return sorted(found, key=lambda flaw: flaw.index)


def _doubles(devices: Sequence[Device]) -> Iterator[Flaw]:
    """Ids that differ only in case are the same."""
    first: dict[str, str] = {}
    for index, device in enumerate(devices):
        key = device.id.casefold()
        if key in first:
            also = "" if first[key] == device.id else f" (as {first[key]!r})"
            yield Flaw(index, "id", f"device {device.id!r} is there twice{also}")
        first.setdefault(key, device.id)


def _strangers(devices: Sequence[Device]) -> Iterator[Flaw]:
    known = {device.id for device in devices}
    for index, device in enumerate(devices):
        for parent in dict.fromkeys(device.upstream):
            if parent not in known:
                yield Flaw(index, "upstream", f"{device.id!r} needs {parent!r}, which is unknown")


def _cycles(devices: Sequence[Device]) -> Iterator[Flaw]:
    place = {device.id: index for index, device in reversed(list(enumerate(devices)))}
    for ring in _rings({device.id: device.upstream for device in devices}):
        start = min(range(len(ring)), key=lambda at: place[ring[at]])
        path = [*ring[start:], *ring[: start + 1]]
        if len(ring) == 1:
            yield Flaw(place[path[0]], "upstream", f"{path[0]!r} needs itself")
        else:
            yield Flaw(place[path[0]], "upstream", "a cycle: " + " needs ".join(map(repr, path)))


def _rings(graph: Graph) -> Iterator[Sequence[str]]:
    """Cycles, each once and at least one in each connected part; each member needs the next."""
    knots = _core(graph)
    told: set[str] = set()
    for start in knots:
        path: dict[str, None] = {}
        at = start
        while at not in path and at not in told:
            path[at] = None
            at = knots[at][0]
        if at in path:
            walked = list(path)
            yield walked[walked.index(at) :]
        told.update(path)


def _core(graph: Graph) -> Graph:
    """The graph without everything that leads into no cycle."""
    left = {id: [p for p in parents if p in graph] for id, parents in graph.items()}
    needed_by: dict[str, list[str]] = {id: [] for id in left}
    for id, parents in left.items():
        for parent in parents:
            needed_by[parent].append(id)
    free = [id for id, parents in left.items() if not parents]
    while free:
        parent = free.pop()
        del left[parent]
        free += _freed(left, needed_by[parent], parent)
    return left


def _freed(left: dict[str, list[str]], children: Iterable[str], parent: str) -> Iterator[str]:
    """Those of *children* that need no device once *parent* is gone."""
    for child in dict.fromkeys(children):
        left[child] = [p for p in left[child] if p != parent]
        if not left[child]:
            yield child
