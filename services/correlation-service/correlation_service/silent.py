"""A dead switch cannot log: the common parent of devices that point up is blamed without evidence of its
own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from correlation_service.linking import Linker
from correlation_service.policy import SilentParent
from correlation_service.spots import Spot
from correlation_service.windowing import Windows

ChildrenOf = Callable[[str], Sequence[str]]


class Blamed(NamedTuple):
    """*device* says nothing, and everything that began with *roots* depends on it."""

    device: str
    roots: Sequence[Spot]


def silent_parent(
    spot: Spot, windows: Windows, linker: Linker, rules: SilentParent, children_of: ChildrenOf
) -> Blamed | None:
    """The nearest silent device above *spot* that must be blamed with what complains beside it."""
    if not _complains(spot, linker):
        return None
    ship = spot.kind.ship
    for device in spot.upstream:
        if windows.blaming(ship, device):
            return None
        if windows.on(ship, device):
            continue  # it speaks for itself; what else is above may be silent
        roots = _complaining(spot, device, windows, linker, rules)
        if _is_enough(device, roots, rules, children_of):
            return Blamed(device, roots)
    return None


def still_blamed(
    device: str,
    ship: str,
    windows: Windows,
    linker: Linker,
    rules: SilentParent,
    children_of: ChildrenOf,
) -> bool:
    """Whether enough is left of what was held against *device*."""
    roots = [spot for spot in windows.below(ship, device) if _complains(spot, linker)]
    near = [_complaining(root, device, windows, linker, rules) for root in roots]
    return any(_is_enough(device, some, rules, children_of) for some in near)


def _complains(spot: Spot, linker: Linker) -> bool:
    """Whether *spot* points up and nothing that speaks explains it."""
    if not spot.rule.points_up or not spot.believed:
        return False
    link = linker.best(spot)
    return link is None or bool(link.blamed)


def _complaining(
    spot: Spot, device: str, windows: Windows, linker: Linker, rules: SilentParent
) -> list[Spot]:
    beside = windows.below(spot.kind.ship, device)
    near = [other for other in beside if abs(other.first - spot.first) <= rules.within]
    return [other for other in near if other is spot or _complains(other, linker)]


def _is_enough(
    device: str, roots: Sequence[Spot], rules: SilentParent, children_of: ChildrenOf
) -> bool:
    """Enough devices complain, from enough of the branches below *device*."""
    devices = {root.kind.device for root in roots}
    if not children_of(device):  # how many should complain is not known: one more than usual must
        return len(devices) > rules.devices
    return len(devices) >= rules.devices and _is_lost(device, devices, rules, children_of)


def _is_lost(
    device: str, complaining: Collection[str], rules: SilentParent, children_of: ChildrenOf
) -> bool:
    """Whether *device* complains, or enough of what needs it is lost; one branch alone is its own."""
    if device in complaining:
        return True
    children = children_of(device)
    lost = sum(_is_lost(child, complaining, rules, children_of) for child in children)
    return lost >= max(2, rules.share * len(children))
