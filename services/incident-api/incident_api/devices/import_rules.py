"""Rules of imports into the inventory, and the flaws that they find. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.names import shared_aliases
from aiops_core.models import Device, Record, Severity

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


MOST = 10_000  # devices
BYTES_MOST = 4 * 1024 * 1024  # of all devices as JSON; they must fit into one message of the broker
LABELS_MOST = 32

# An id stands in URLs, in lists and on command lines.
Id = Annotated[str, Field(pattern=r"^\w[^\s,;|/?#]*$", max_length=128)]
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Key = Annotated[str, Field(pattern=r"^[^\s=;|]+$", max_length=64)]
Value = Annotated[  # stands in lists of a spreadsheet
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^;|\x00-\x1f\x7f]*$")
]


class NewDevice(Device):
    """A device as people write it; missing fields are unknown, criticality is medium."""

    model_config = ConfigDict(extra="forbid")

    id: Id
    name: Word = ""
    type: Annotated[Word, Field(min_length=1)] = "unknown"
    site: Word = ""
    criticality: Severity = Severity.MEDIUM
    upstream: Annotated[tuple[Id, ...], Field(max_length=64)] = ()
    owner: Word = ""
    labels: Annotated[dict[Key, Value], Field(max_length=LABELS_MOST)] = Field(default_factory=dict)

    def device(self) -> Device:
        return Device.model_validate(self.model_dump())


class FieldChange(Record):
    field: str
    before: str
    after: str


class DeviceChange(Record):
    """A known device with other values."""

    id: str
    fields: tuple[FieldChange, ...]


class ImportPlan(Record):
    """The changes of an import; *kept* are known devices that it does not mention."""

    added: tuple[str, ...] = ()
    changed: tuple[DeviceChange, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def flaws_of(known: Inventory, given: Sequence[Device], *, prune: bool) -> list[Flaw]:
    """Why *given* cannot be imported into *known*.

    An index of ``len(given)`` or more is of a known device that *given* does not mention.
    """
    clashes = list(_clashes(known, given))
    if clashes:
        return clashes
    return find_flaws([*given, *_others(known, given, prune=prune)])


def merged(known: Inventory, given: Sequence[Device], *, prune: bool) -> Inventory:
    """*known* after the import."""
    return Inventory([*_others(known, given, prune=prune), *given])


def plan(known: Inventory, given: Sequence[Device], *, prune: bool) -> ImportPlan:
    """The changes that *given*, which has no flaws, makes in *known*."""
    unmentioned = tuple(d.id for d in _others(known, given, prune=False))
    changes = {d.id: tuple(_differences(before, d)) for d in given if (before := known.get(d.id))}
    return ImportPlan(
        added=tuple(d.id for d in given if d.id not in known),
        changed=tuple(
            DeviceChange(id=id, fields=fields) for id, fields in changes.items() if fields
        ),
        removed=unmentioned if prune else (),
        kept=() if prune else unmentioned,
        unchanged=tuple(id for id, fields in changes.items() if not fields),
        warnings=tuple(_doubts(merged(known, given, prune=prune), given)),
    )


def _others(known: Inventory, given: Sequence[Device], *, prune: bool) -> list[Device]:
    mentioned = {device.id for device in given}
    return [] if prune else [d for d in known.devices if d.id not in mentioned]


def _clashes(known: Inventory, given: Sequence[Device]) -> Iterator[Flaw]:
    """An id that differs from a known one only in case is the same device, written differently."""
    ids = {device.id.casefold(): device.id for device in known.devices}
    for index, device in enumerate(given):
        other = ids.get(device.id.casefold(), device.id)
        if other != device.id:
            yield Flaw(index, "id", f"device {device.id!r} is known as {other!r}")


def _differences(before: Device, after: Device) -> Iterator[FieldChange]:
    for field in Device.model_fields:
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield FieldChange(field=field, before=_text(old), after=_text(new))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}={text}" for key, text in value.items())
    return "; ".join(value) if isinstance(value, tuple) else str(value)


def _doubts(inventory: Inventory, given: Sequence[Device]) -> Iterator[str]:
    mine = {device.id for device in given}
    for alias, ids in shared_aliases(inventory.devices):
        if mine.intersection(ids):
            yield f"{alias} is claimed by {', '.join(ids)}, so it means none of them"
