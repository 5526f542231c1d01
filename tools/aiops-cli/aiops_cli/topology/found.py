"""What a file tells of devices and links. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.links import DeviceLink, Standing, short, standing_of
from aiops_core.inventory.names import is_address

_NO_ID = re.compile(r"[\s,;|/?#]+")
_WORD = re.compile(r"[^;|\x00-\x1f\x7f]+")
LONGEST_WORD = 200  # characters of a field of the inventory


class NotThese(ValueError):
    """The file is of a known kind, and tells nothing; the text says what to give instead."""


@dataclass(frozen=True)
class FoundDevice:
    """*said*: where it was found. Addresses are written as in the inventory's labels."""

    id: str
    said: str
    name: str = ""
    type: str = ""
    site: str = ""
    ip: str = ""
    mac: str = ""


@dataclass
class Found:
    """*what* the file is. *numbers*: names by the ids that other files of the same program use.

    *unnamed*: entries without a name, which say nothing.
    """

    what: str
    devices: list[FoundDevice] = field(default_factory=list)
    links: list[DeviceLink] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    unnamed: int = 0

    def add(self, device: FoundDevice) -> None:
        """A device, and where its type puts it."""
        self.devices.append(device)
        self.stand(device.id, device.type)

    def stand(self, id: str, type: str = "", capabilities: Iterable[str] = ()) -> None:
        if standing := standing_of(id, type, tuple(capabilities)):
            self.standings[id] = standing


def as_id(name: str) -> str:
    """The id under which the inventory can have *name*; "" for none."""
    text = name.strip()
    return _NO_ID.sub("-", text if " " in text else short(text)).strip("-")[:128]


def as_address(text: object) -> str:
    """*text* as an address by which others reach a device; "" for none."""
    address = str(text or "").partition("/")[0].strip()
    return address if is_address(address) and not ip_address(address).is_loopback else ""


def as_word(text: object) -> str:
    """*text* as a field of the inventory."""
    return " ".join("".join(_WORD.findall(str(text or ""))).split())[:LONGEST_WORD]


def together(found: Iterable[Found], known: Inventory) -> Found:
    """All of *found* as one: with the names of *known*, else those that another file has for an
    address or a number. What *known* states of a type goes before what files suggest."""
    parts = list(found)
    names = {key: name for part in parts for key, name in part.numbers.items()}
    names |= {one.ip: one.id for part in parts for one in part.devices if one.ip}
    whole = Found("all files")

    def named(name: str) -> str:
        name = names.get(name, name)
        return known.resolve(name) or name

    for part in parts:
        whole.links += _renamed(part.links, named)
        whole.unnamed += part.unnamed
        whole.devices += part.devices
        for name, standing in part.standings.items():
            before = whole.standings.get(named(name))
            if before is None or standing.stated:
                whole.standings[named(name)] = standing
    for device in known.devices:
        of_type = standing_of(device.id, device.type)
        if of_type and of_type.stated:
            whole.standings[device.id] = of_type
    return whole


def _renamed(links: Iterable[DeviceLink], named: Callable[[str], str]) -> Iterator[DeviceLink]:
    for link in links:
        yield link._replace(near=named(link.near), far=named(link.far))


def text_of(node: object) -> str:
    """The text of a JSON value; of ``{"name": …}`` or ``{"display": …}``, that of its name."""
    if isinstance(node, Mapping):
        node = node.get("name") or node.get("display") or node.get("label") or node.get("value")
    return "" if node is None or isinstance(node, Mapping | list) else str(node)
