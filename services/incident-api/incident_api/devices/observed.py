"""Links that detection read in lines, as edges of the inventory. Pure.

Anybody can send a line: both ends must be devices of the inventory or known as senders, and a line
is believed little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.links import DeviceLink, Standing, Witness, directed, short, standing_of
from aiops_core.models import LinkObserved
from incident_api.devices.suggesting import Told


def edges_of(observed: Iterable[LinkObserved], inventory: Inventory) -> Iterator[Told]:
    """The edges of each, where it is clear which end is upstream."""
    for one in observed:
        if all(end in one.sending or inventory.resolve(end) for end in (one.device, one.far)):
            yield directed([_link(one)], _standings(one, inventory), one.ts, one.sender).findings


def _link(one: LinkObserved) -> DeviceLink:
    return DeviceLink(
        near=one.device,
        far=short(one.far),
        kind=one.kind,
        said=one.said,
        near_port=one.port,
        needs=one.needs,
        witness=Witness.LINE,
    )


def _standings(one: LinkObserved, inventory: Inventory) -> dict[str, Standing]:
    """Of both ends, by the names of the link: what the inventory knows of their types."""
    found = {}
    for name in (one.device, short(one.far)):
        device = inventory.get(inventory.resolve(name) or "")
        if device and (standing := standing_of(device.id, device.type)):
            found[name] = standing
    return found
