"""A dead switch cannot log: the common parent of devices that complain is inferred to be the root
without evidence of its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from correlation_service.alerts import Alert
from correlation_service.linking import Linker


class SilentDevice(NamedTuple):
    """*device* says nothing, and everything that began with *roots* depends on it."""

    device: str
    roots: Sequence[Alert]


class SilentParents:
    def __init__(self, linker: Linker) -> None:
        self._linker, self._overlay = linker, linker.overlay
        self._rules = linker.overlay.policy.silent_parent
        self._children_of = linker.overlay.state.inventory.children_of

    def above(self, alert: Alert) -> SilentDevice | None:
        """The nearest silent device above *alert* that explains it and what complains beside it."""
        if not self._complains(alert):
            return None
        ship = alert.key.ship
        for device in alert.upstream:
            if self._overlay.inferring(ship, device):
                return None
            if self._overlay.on(ship, device):
                continue  # it speaks for itself; another one above it may be silent
            roots = self._beside(alert, device)
            if self._is_enough(device, roots):
                return SilentDevice(device, roots)
        return None

    def explains(self, device: str, ship: str) -> bool:
        """Whether enough devices complain still to infer that *device* is down."""
        roots = [alert for alert in self._overlay.below(ship, device) if self._complains(alert)]
        return any(self._is_enough(device, self._beside(root, device)) for root in roots)

    def _complains(self, alert: Alert) -> bool:
        """Whether *alert* suspects a device upstream and nothing that speaks explains it."""
        if not alert.rule.suspect_upstream or not alert.believed:
            return False
        link = self._linker.best(alert)
        return link is None or bool(link.inferred) or link.is_beside

    def _beside(self, alert: Alert, device: str) -> list[Alert]:
        """*alert* and all that complain below *device* at about the same time."""
        within = self._rules.within
        below = self._overlay.below(alert.key.ship, device)
        near = [other for other in below if abs(other.first - alert.first) <= within]
        return [other for other in near if other is alert or self._complains(other)]

    def _is_enough(self, device: str, roots: Sequence[Alert]) -> bool:
        """Enough devices complain, from enough of the branches below *device*."""
        devices = {root.key.device for root in roots}
        if not self._children_of(device):  # nobody knows how many should complain: one more must
            return len(devices) > self._rules.min_devices
        return len(devices) >= self._rules.min_devices and self._is_lost(device, devices)

    def _is_lost(self, device: str, complaining: set[str]) -> bool:
        """Whether *device* complains, or enough of what needs it is lost; one branch alone is its
        own."""
        if device in complaining:
            return True
        children = self._children_of(device)
        lost = sum(self._is_lost(child, complaining) for child in children)
        return lost >= max(2, self._rules.min_share * len(children))
