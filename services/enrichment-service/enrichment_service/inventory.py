"""The devices of the ship: who is meant by a name, and what does it hang on. Never changes once built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiops_core.models import Device

UPSTREAM_KEPT = 8
ALIAS_LABELS = ("hostname", "ip")


class Inventory:
    """Devices by id, host name, IP address or display name, in any case.

    An id goes before a label, a label before a name; a label or name that two devices share means none.
    """

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self._by_id = {device.id: device for device in devices}
        self._ids = _ids_by_alias(self._by_id.values())
        self._upstream = {id: tuple(self._climb(id)) for id in self._by_id}

    def __len__(self) -> int:
        return len(self._by_id)

    def resolve(self, *names: str | None) -> Device | None:
        """The device that the first known of *names* stands for."""
        for name in filter(None, names):
            key = name.casefold()
            id = self._ids.get(key) or self._ids.get(_short(key))
            if id:
                return self._by_id[id]
        return None

    def upstream(self, device: Device) -> tuple[Device, ...]:
        """What *device* needs to work: direct ones first, then theirs, at most 8, itself never."""
        return self._upstream[device.id]

    def _climb(self, id: str) -> Iterator[Device]:
        """Breadth first; a cycle ends where it began, an unknown parent is passed over."""
        found, level = {id}, [id]
        while level:
            parents = dict.fromkeys(p for d in level for p in self._by_id[d].upstream)
            level = [p for p in parents if p in self._by_id and p not in found]
            for parent in level[: UPSTREAM_KEPT + 1 - len(found)]:
                yield self._by_id[parent]
            found.update(level)
            if len(found) > UPSTREAM_KEPT:
                return


def _ids_by_alias(devices: Iterable[Device]) -> dict[str, str]:
    ids, labels, names = _Aliases(), _Aliases(), _Aliases()
    for device in devices:
        ids.add(device.id, device.id)
        names.add(device.name, device.id)
        for label in ALIAS_LABELS:
            for alias in device.labels.get(label, "").replace(",", " ").split():
                labels.add(alias, device.id)
    return names.certain() | labels.certain() | ids.certain()


class _Aliases:
    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}

    def add(self, alias: str, id: str) -> None:
        if alias:
            self._ids.setdefault(alias.casefold(), set()).add(id)

    def certain(self) -> dict[str, str]:
        return {alias: next(iter(ids)) for alias, ids in self._ids.items() if len(ids) == 1}


def _short(host: str) -> str:
    """The host name without its domain; an IP address stays whole."""
    label = host.partition(".")[0]
    return host if label.isdigit() else label
