"""A dead switch cannot log: the common parent of devices that complain is inferred to be the root
without evidence of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
            inferring = self._overlay.inferring(ship, device)
            if inferring and self._speaks(inferring.alerts.values(), alert):
                return None
            if self._speaks(self._overlay.on(ship, device), alert):
                continue  # it speaks for itself; another one above it may be silent
            roots = self._beside(alert, device)
            if self._is_enough(device, roots):
                return SilentDevice(device, roots)
        return None

    def explains(self, device: str, ship: str) -> bool:
        """Whether enough devices complain still to infer that *device* is down."""
        roots = [alert for alert in self.below(ship, device) if self._complains(alert)]
        return any(self._is_enough(device, self._beside(root, device)) for root in roots)

    def below(self, ship: str, device: str) -> list[Alert]:
        """What depends on *device* and began at about the time of what is decided about."""
        found, subject = self._overlay.below(ship, device), self._overlay.subject
        return [one for one in found if subject is None or self._linker.may_meet(one, subject)]

    def _speaks(self, alerts: Iterable[Alert], when: Alert) -> bool:
        """Whether one of *alerts* was not quiet when *when* began, as a state may be for weeks."""
        late = self._overlay.policy.lateness
        return any(when.first <= other.last + other.window + late for other in alerts)

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
