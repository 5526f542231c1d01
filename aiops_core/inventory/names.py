"""The names of devices, and how messages may write them. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from aiops_core.models import Device

HOST_LABELS = ("hostname", "alias")  # several are separated by commas or spaces
ADDRESS_LABELS = ("ip", "mac")
Ids = defaultdict[str, set[str]]  # by lower-case alias


class DeviceNames:
    """Spellings of one device: in any case, with or without the ship's own domain.

    *own_domains* are those domains; ``*`` stands for one label, as in ``*.local``.
    """

    def __init__(self, own_domains: Iterable[str]) -> None:
        longest = sorted(own_domains, key=lambda domain: -domain.count("."))
        patterns = "|".join(map(_labels_of, longest))
        self._own = re.compile(rf"\.(?:{patterns})\.?") if patterns else None

    def one(self, name: str) -> str:
        """The same for all spellings of a device; an address, and a name with blanks, is whole."""
        key = name.strip().casefold()
        if self._own is None or "." not in key:
            return key
        host, dot, rest = key.partition(".")
        return host if host and not host.isdigit() and self._own.fullmatch(dot + rest) else key


def _labels_of(domain: str) -> str:
    """The regex for *domain*."""
    labels = domain.strip(".").casefold().split(".")
    return r"\.".join(r"[\w-]+" if label == "*" else re.escape(label) for label in labels)


def ids_by_alias(devices: Iterable[Device]) -> Mapping[str, str]:
    """Lower-case alias -> id, without aliases of several devices."""
    ids, labels, short, names = (Ids(set) for _ in range(4))
    for device in devices:
        _add(ids, device.id, device.id)
        _add(names, device.name, device.id)
        for address in _labels(device, ADDRESS_LABELS):
            _add(labels, _address(address) or address, device.id)
        for host in _labels(device, HOST_LABELS):
            _add(labels, host, device.id)
            _add(short, _short(host), device.id)
    return _certain(names) | _certain(short) | _certain(labels) | _certain(ids)


def shared_aliases(devices: Iterable[Device]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Host names and addresses of several devices, with their ids; they resolve to none."""
    labels = Ids(set)
    for device in devices:
        for alias in _labels(device, HOST_LABELS + ADDRESS_LABELS):
            _add(labels, _address(alias) or alias, device.id)
    return ((alias, tuple(sorted(ids))) for alias, ids in labels.items() if len(ids) > 1)


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


def is_address(name: str) -> bool:
    """Whether *name* is an IP address."""
    return _address(name.strip().casefold()) is not None


def _add(ids: Ids, alias: str, id: str) -> None:
    if alias:
        ids[alias.casefold()].add(id)


def _certain(ids: Ids) -> dict[str, str]:
    return {alias: next(iter(found)) for alias, found in ids.items() if len(found) == 1}


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
