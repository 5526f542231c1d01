"""What becomes of suggested devices and edges: taken in, accepted, rejected. Pure.

Names are those of the inventory where it knows them. An edge is suggested in one order only: of two
that contradict each other the more certain one stays, and none that contradicts the inventory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import (
    EdgeFinding,
    EdgeKey,
    EvidenceKind,
    Sentence,
    Suggestion,
    Suggestions,
)
from aiops_core.models import Device, Record, UtcDatetime
from incident_api.devices.import_rules import NewDevice

DEVICES_MOST = 5000  # suggested ones
DEVICES_KEY = "suggested_devices"  # in the bucket of the inventory

Outcome = Literal["new", "stronger", "known", "rejected", "contradicted", "itself"]
Told = Mapping[EdgeKey, Sequence[EdgeFinding]]


class SuggestedDevice(Record):
    """A device that the inventory lacks; *said* is where it was found."""

    device: NewDevice
    said: Sentence
    last_seen: UtcDatetime
    status: Literal["open", "rejected"] = "open"


class EdgeOutcome(Record):
    """What became of one edge that was told, with the confidence that it has now."""

    device: str
    upstream: str
    outcome: Outcome
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0


class SkippedEdge(Record):
    device: str
    upstream: str
    reason: str


@dataclass(frozen=True)
class TakenIn:
    suggestions: Suggestions
    outcomes: tuple[EdgeOutcome, ...]


@dataclass(frozen=True)
class Grown:
    """The devices to import so that *accepted* edges are in the inventory."""

    devices: tuple[NewDevice, ...]
    accepted: tuple[EdgeKey, ...]
    skipped: tuple[SkippedEdge, ...]


class SuggestedDevices:
    """By the lower-case id; it never changes. Of more than ``DEVICES_MOST`` the oldest go."""

    _LIST = TypeAdapter(tuple[SuggestedDevice, ...])

    def __init__(self, devices: Iterable[SuggestedDevice] = ()) -> None:
        found = {one.device.id.casefold(): one for one in devices}
        kept = sorted(found.values(), key=lambda one: one.last_seen, reverse=True)[:DEVICES_MOST]
        self._by_id = {one.device.id.casefold(): one for one in kept}

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The inverse of ``to_json``; raises ValueError on anything else."""
        return cls(cls._LIST.validate_json(data))

    def to_json(self) -> bytes:
        return self._LIST.dump_json(tuple(self))

    def __iter__(self) -> Iterator[SuggestedDevice]:
        return (self._by_id[id] for id in sorted(self._by_id))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, name: str) -> SuggestedDevice | None:
        return self._by_id.get(name.casefold())

    def unknown_to(self, inventory: Inventory) -> tuple[SuggestedDevice, ...]:
        """The open ones that *inventory* lacks, also under another name or address."""
        return tuple(
            one
            for one in self
            if one.status == "open" and inventory.resolve(*_names(one.device)) is None
        )

    def found(self, told: Iterable[SuggestedDevice]) -> SuggestedDevices:
        """With *told*; what is said of a known one adds to what was said before."""
        devices = dict(self._by_id)
        for new in told:
            before = devices.get(new.device.id.casefold())
            devices[new.device.id.casefold()] = _joined(before, new) if before else new
        return SuggestedDevices(devices.values())

    def rejected(self, name: str) -> SuggestedDevices:
        """Raises LookupError for a device that is not suggested."""
        one = self.get(name)
        if one is None:
            raise LookupError(f"nothing suggests a device {name}")
        return SuggestedDevices((*self, one.but(status="rejected")))


def _names(device: NewDevice) -> list[str]:
    return [device.id, *device.labels.get("ip", "").split(), device.labels.get("mac", "")]


def _joined(before: SuggestedDevice, new: SuggestedDevice) -> SuggestedDevice:
    old, said = before.device, new.device
    device = said.but(
        id=old.id,
        name=said.name or old.name,
        type=old.type if said.type == "unknown" else said.type,
        site=said.site or old.site,
        labels={**old.labels, **said.labels},
    )
    return new.but(device=device, status=before.status)


def settled(known: Suggestions, inventory: Inventory) -> Suggestions:
    """*known*, in which those that people have typed meanwhile are accepted."""
    typed = [
        one for one in known if one.status == "open" and one.upstream in inventory.above(one.device)
    ]
    if not typed:
        return known
    return Suggestions((*known, *(one.but(status="accepted") for one in typed)))


def taken_in(known: Suggestions, inventory: Inventory, told: Told) -> TakenIn:
    """*known* with the edges that are *told*, and what became of each of them."""
    intake = _Intake(known, inventory)
    outcomes = tuple(intake.take(key, findings) for key, findings in told.items())
    return TakenIn(Suggestions(intake.by_key.values()), outcomes)


def relearned(
    known: Suggestions,
    inventory: Inventory,
    kind: EvidenceKind,
    told: Mapping[EdgeKey, EdgeFinding],
) -> TakenIn:
    """Like ``taken_in``, where *told* is all that evidence of *kind* says now."""
    rest = known.relearned(kind, {})
    return taken_in(rest, inventory, {key: (finding,) for key, finding in told.items()})


class _Intake:
    def __init__(self, known: Suggestions, inventory: Inventory) -> None:
        self.by_key = {one.key: one for one in known}
        self._inventory = inventory
        self._spelling = {name.casefold(): name for key in self.by_key for name in key}

    def take(self, told: EdgeKey, findings: Sequence[EdgeFinding]) -> EdgeOutcome:
        key = EdgeKey(*map(self._name, told))
        outcome = self._refusal(key)
        if outcome is None:
            before = self.by_key.get(key)
            after = self._with(before, key, findings)
            outcome = "stronger" if before else "new"
            if self._is_weaker(after):
                outcome = "contradicted"
            else:
                self.by_key.pop(EdgeKey(key.upstream, key.device), None)
                self.by_key[key] = after
        one = self.by_key.get(key)
        return EdgeOutcome(
            device=key.device,
            upstream=key.upstream,
            outcome=outcome,
            confidence=one.confidence if one else 0.0,
        )

    def _name(self, name: str) -> str:
        """As the inventory spells it, else as it was spelled first."""
        id = self._inventory.resolve(name)
        return id or self._spelling.setdefault(name.casefold(), name)

    def _refusal(self, key: EdgeKey) -> Outcome | None:
        if key.device == key.upstream:
            return "itself"
        if key.upstream in self._inventory.above(key.device):
            return "known"
        if key.device in self._inventory.above(key.upstream):
            return "contradicted"
        before = self.by_key.get(key)
        if before is None or before.status == "open":
            return None
        return "rejected" if before.status == "rejected" else "known"

    @staticmethod
    def _with(
        before: Suggestion | None, key: EdgeKey, findings: Sequence[EdgeFinding]
    ) -> Suggestion:
        first, *more = findings
        after = (
            before.found(first)
            if before
            else Suggestion(device=key.device, upstream=key.upstream, findings=(first,))
        )
        for finding in more:
            after = after.found(finding)
        return after

    def _is_weaker(self, one: Suggestion) -> bool:
        """Whether the opposite is open, and as certain."""
        opposite = self.by_key.get(EdgeKey(one.upstream, one.device))
        if opposite is None or opposite.status == "rejected":
            return False
        return opposite.status == "accepted" or opposite.confidence >= one.confidence


def grown(
    inventory: Inventory,
    edges: Iterable[EdgeKey],
    described: SuggestedDevices,
    alone: Iterable[str] = (),
) -> Grown:
    """The import that accepts *edges*, of which the first ones win over a circle with them.

    Missing ends are created, as they are *described* where they are; and so are devices *alone*.
    """
    growing = _Growing(inventory, described)
    for name in alone:
        growing.device(name)
    for key in edges:
        growing.connect(key)
    return Grown(tuple(growing.changed()), tuple(growing.accepted), tuple(growing.skipped))


class _Growing:
    def __init__(self, inventory: Inventory, described: SuggestedDevices) -> None:
        self._inventory, self._described = inventory, described
        self._devices: dict[str, NewDevice] = {}
        self._new: dict[str, str] = {}  # their ids, by lower-case name
        self._upstream: dict[str, tuple[str, ...]] = {d.id: d.upstream for d in inventory.devices}
        self.accepted: list[EdgeKey] = []
        self.skipped: list[SkippedEdge] = []

    def connect(self, key: EdgeKey) -> None:
        if reason := self._refusal(key):
            self.skipped.append(
                SkippedEdge(device=key.device, upstream=key.upstream, reason=reason)
            )
            return
        device, upstream = (self.device(name) for name in key)
        if upstream not in self._upstream[device]:
            self._upstream[device] = (*self._upstream[device], upstream)
        self.accepted.append(key)

    def device(self, name: str) -> str:
        """The id of the device *name*, which is created where it is missing. Raises ValidationError
        for a name that cannot be an id."""
        known = self._known(name)
        if known is None:
            described = self._described.get(name)
            new = described.device if described else NewDevice(id=name)
            known = new.id
            self._devices[known] = new.but(upstream=())
            self._new[known.casefold()] = self._new[name.casefold()] = known
            self._upstream[known] = ()
        return known

    def _known(self, name: str) -> str | None:
        id = self._inventory.resolve(name)
        return id or self._new.get(name.casefold())

    def _refusal(self, key: EdgeKey) -> str:
        for name in key:
            if self._known(name) is None and not is_id(name):
                return f"{name!r} cannot be the id of a device"
        device, upstream = (self._known(name) or name for name in key)
        return f"{upstream} needs {device} already" if self._needs(upstream, device) else ""

    def changed(self) -> Iterator[NewDevice]:
        for id, upstream in self._upstream.items():
            known = self._inventory.get(id)
            if known is None:
                yield self._devices[id].but(upstream=upstream)
            elif known.upstream != upstream:
                yield _as_given(known.but(upstream=upstream))

    def _needs(self, id: str, other: str) -> bool:
        found, waiting = {id}, [id]
        while waiting:
            one = waiting.pop()
            if one == other:
                return True
            new = [up for up in self._upstream.get(one, ()) if up not in found]
            found.update(new)
            waiting += new
        return False


def is_id(name: str) -> bool:
    """Whether a device can be imported under *name*."""
    try:
        return bool(NewDevice(id=name).id)
    except ValidationError:
        return False


def _as_given(device: Device) -> NewDevice:
    return NewDevice.model_validate(device.model_dump())
