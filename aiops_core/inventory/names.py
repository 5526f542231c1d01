"""The names of devices, and how messages may write them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from aiops_core.models import Device

HOST_LABELS = ("hostname", "alias")  # several are separated by commas or spaces
ADDRESS_LABELS = ("ip", "mac")


def ids_by_alias(devices: Iterable[Device]) -> Mapping[str, str]:
    """Lower-case alias -> id, without aliases of several devices."""
    ids, labels, short, names = _Aliases(), _Aliases(), _Aliases(), _Aliases()
    for device in devices:
        ids.add(device.id, device.id)
        names.add(device.name, device.id)
        for address in _labels(device, ADDRESS_LABELS):
            labels.add(_address(address) or address, device.id)
        for host in _labels(device, HOST_LABELS):
            labels.add(host, device.id)
            short.add(_short(host), device.id)
    return names.certain() | short.certain() | labels.certain() | ids.certain()


def shared_aliases(devices: Iterable[Device]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Host names and addresses of several devices, with their ids; they resolve to none."""
    labels = _Aliases()
    for device in devices:
        for alias in _labels(device, HOST_LABELS + ADDRESS_LABELS):
            labels.add(_address(alias) or alias, device.id)
    return labels.doubtful()


def spellings(name: str) -> Iterator[str]:
    """The aliases that *name* may mean: as it is, without a port, without its domain."""
    key = name.strip().casefold()
    yield key
    host = _without_port(key)
    if host != key:
        yield host
    if address := _address(host):
        yield address
    elif (short := _short(host)) != host:
        yield short


class _Aliases:
    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}

    def add(self, alias: str, id: str) -> None:
        if alias:
            self._ids.setdefault(alias.casefold(), set()).add(id)

    def certain(self) -> dict[str, str]:
        return {alias: next(iter(ids)) for alias, ids in self._ids.items() if len(ids) == 1}

    def doubtful(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        return ((alias, tuple(sorted(ids))) for alias, ids in self._ids.items() if len(ids) > 1)


def _labels(device: Device, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        yield from device.labels.get(key, "").replace(",", " ").split()


def _address(text: str) -> str | None:
    """The canonical form of an IP address, None for anything else."""
    if not text[:1].isalnum() and text[:1] != ":":
        return None
    if ":" not in text and not text[:1].isdigit():
        return None  # nearly always a host name, and the attempt below is slow
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """``srv-1:9100`` and ``[::1]:9100`` as exporters are named; a bare IPv6 address stays whole."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and ":" not in name else host


def _short(host: str) -> str:
    """The host name without its domain; an IP address stays whole."""
    label = host.partition(".")[0]
    return host if label.isdigit() else label
