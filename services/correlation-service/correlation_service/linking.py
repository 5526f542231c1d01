"""Why an alert belongs to another: by a key that they share, or because its device depends on the
other's.

Every alert follows at most one other, the best by a rule that looks only at these two. So alerts
form trees, each tree is one incident, and the order in which anomalies arrive makes no difference.
Two faults stay two even where something depends on both. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import NamedTuple

from correlation_service.alerts import Alert, earliest, place_of
from correlation_service.overlay import Overlay
from correlation_service.policy import GroupingRule
from correlation_service.wording import SHARED

ZERO = timedelta(0)
# The cause began shortly before its symptom, long before, or after; it is silent; all that is known
# is that both began together; it is a stray like this.
FRESH, OLDER, LATE, SILENT, BESIDE, STRAY = range(6)
NOTHING = "it stands alone, and is kept with other single errors"
ALERTS_COMPARED = 64  # under one key; more of them are the same incident anyway


class Link(NamedTuple):
    """*cost* orders the candidates: class, then time or distance. *shared* is the key that both
    have, *inferred* the silent device on which both depend; both are empty when *child* depends on
    its parent. *confidence* is below 1 where only suggested edges say so, *why* what speaks for
    them."""

    cost: tuple[int, timedelta]
    parent: Alert
    shared: str = ""
    inferred: str = ""
    confidence: float = 1.0
    why: str = ""

    @property
    def is_beside(self) -> bool:
        return self.cost[0] == BESIDE

    @property
    def rank(self) -> tuple[object, ...]:
        return (*self.cost, *self.parent.place)

    def reason(self, child: Alert) -> str:
        if self.cost[0] == STRAY:
            return NOTHING
        if self.shared:
            _, word, value = self.shared.split("|", 2)
            return f"same {SHARED[word]}: {value}"
        device, above = child.key.device, self.inferred or self.parent.key.device
        if self.is_beside:
            apart = self.cost[1].total_seconds()
            return f"{device} began {apart:.1f} s after {above}; what they need is not known"
        sure = self.confidence == 1
        text = f"{device} depends on {above}" if sure else f"{device} probably depends on {above}"
        if self.inferred:
            text += ", which is probably down"
        if sure:
            return text
        return f"{text}: {self.why}" if self.why else f"{text} (confidence {self.confidence:.2f})"


class Linker:
    """Links between the alerts of *overlay*."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay, self._policy = overlay, overlay.policy
        self._alone: dict[str, bool] = {}  # strays that nothing explains

    def best(self, child: Alert, inside: str | None = None) -> Link | None:
        """The link to the alert that *child* follows; with *inside*, of those in that incident."""
        home_of = self.overlay.home_of
        links: Sequence[Link] = (*self._explaining(child), *self._strays(child))
        links = links or [*self._beside(child)]
        return min(
            (link for link in links if inside is None or home_of(link.parent) == inside),
            key=lambda link: link.rank,
            default=None,
        )

    def subtree(self, top: Alert) -> list[Alert]:
        """*top* and what follows it, directly or not, within its incident, in their order."""
        incident = self.overlay.incident(self.overlay.home_of(top))
        parents = {
            alert.id: link.parent if (link := self.best(alert, incident.id)) else None
            for alert in incident.alerts.values()
            if alert is not top
        }
        return [alert for alert in incident.in_order() if _leads_to(alert, top, parents)]

    def neighbours(self, alert: Alert) -> list[Alert]:
        """Alerts that might follow *alert*, in their order."""
        ship, device, _ = alert.key
        near = {a.id: a for key in alert.keys for a in self.overlay.sharing(key)}
        near |= {a.id: a for a in self.overlay.strays(alert)}
        near |= {a.id: a for a in self.overlay.below(ship, device)}
        if self._is_unknown(alert):
            together = self.overlay.beside(alert, self._policy.propagation.together)
            near |= {a.id: a for a in together}
        near.pop(alert.id, None)
        return sorted((a for a in near.values() if self.may_meet(a, alert)), key=place_of)

    def may_meet(self, one: Alert, other: Alert) -> bool:
        """Whether one may ever follow the other: a state that is open for weeks follows nothing."""
        return abs(one.first - other.first) <= 2 * self._policy.max_length

    def _explaining(self, child: Alert) -> Iterator[Link]:
        yield from self._shared(child)
        yield from self._upstream(child)
        yield from self._inferred(child)

    def _shared(self, child: Alert) -> Iterator[Link]:
        for key in child.keys:
            near = (one for one in self.overlay.sharing(key) if self._in_time(one, child))
            for parent in islice(near, ALERTS_COMPARED):
                if parent.leads(child):
                    yield Link(self._cost(parent, child, 0), parent, key)

    def _upstream(self, child: Alert) -> Iterator[Link]:
        for distance, device in enumerate(child.upstream, start=1):
            for parent in self.overlay.on(child.key.ship, device):
                if not _explains(parent, child) or not self._in_time(parent, child):
                    continue
                sure = child.probable.get(device, 1.0)
                cost = self._cost(parent, child, distance, sure)
                if cost[0] == FRESH or (child.believed and not parent.doubtful):
                    yield Link(cost, parent, confidence=sure, why=self._why(child, device))

    def _inferred(self, child: Alert) -> Iterator[Link]:
        """Silent devices above *child* that were inferred when it began, or shortly before."""
        if child.rule.causes != "any" or not child.believed:
            return
        for distance, device in enumerate(child.upstream, start=1):
            for parent in self._complaining(child.key.ship, device):
                begins = child.first - parent.first >= -self._policy.lateness
                if parent is not child and begins and self._in_time(parent, child):
                    cost = distance * self._policy.propagation.hop_cost
                    sure, why = child.probable.get(device, 1.0), self._why(child, device)
                    yield Link((SILENT, cost), parent, "", device, sure, why)

    def _beside(self, child: Alert) -> Iterator[Link]:
        """Alerts of its kin that began just before, on other devices of which nothing is known."""
        rules = self._policy.propagation
        if not rules.together or not child.believed or not self._is_unknown(child):
            return
        for parent in self.overlay.beside(child, rules.together):
            if not parent.believed or not parent.precedes(child) or parent.rule.effects != "any":
                continue
            if not (self._is_unknown(parent) and self._just_began(parent, child)):
                continue
            if child.first - parent.first > self._together(parent, child):
                continue
            if _explains(parent, child) and self._in_time(parent, child):
                yield Link((BESIDE, child.first - parent.first), parent)

    def _together(self, parent: Alert, child: Alert) -> timedelta:
        rules = self._policy.propagation
        return rules.at_once if parent.rule.at_once and child.rule.at_once else rules.together

    def _is_unknown(self, alert: Alert) -> bool:
        """Whether nobody has typed what its device needs."""
        if alert.key.device in self.overlay.state.inventory:
            return False
        return len(alert.upstream) == len(alert.probable)

    def _just_began(self, parent: Alert, child: Alert) -> bool:
        """Whether the trouble of the parent's device is new when *child* begins, and is no part of
        an older one."""
        since = child.first - self._policy.propagation.together
        known = self.overlay.on(parent.key.ship, parent.key.device)
        older = (link.parent for link in self._explaining(parent))
        return all(a.first >= since or not a.believed for a in (*known, *older))

    def _why(self, child: Alert, device: str) -> str:
        """What speaks for the suggested edge from *child* to *device*."""
        if device not in child.probable:
            return ""
        edge = self.overlay.state.inventory.suggestion(child.key.device, device)
        return edge.why if edge else ""

    def _complaining(self, ship: str, device: str) -> list[Alert]:
        """The first to complain of the alerts for which *device* is held responsible."""
        incident = self.overlay.inferring(ship, device)
        alerts = incident.alerts.values() if incident else ()
        pointing = [alert for alert in alerts if alert.rule.suspect_upstream]
        return [earliest(pointing)] if pointing else []

    def _strays(self, child: Alert) -> Iterator[Link]:
        """Single errors that nothing explains: one list of them instead of many incidents."""
        if child.believed:
            return
        for parent in self.overlay.strays(child):
            if not parent.precedes(child) or not self._in_time(parent, child):
                continue
            if self._is_alone(parent):
                yield Link((STRAY, child.first - parent.first), parent)

    def _is_alone(self, stray: Alert) -> bool:
        """Remembered: only the alerts themselves decide it, not in which incidents they are."""
        if stray.id not in self._alone:
            self._alone[stray.id] = next(self._explaining(stray), None) is None
        return self._alone[stray.id]

    def _in_time(self, parent: Alert, child: Alert) -> bool:
        if parent.first - child.first > self._policy.propagation.max_cause_delay:
            return False
        spread = max(parent.last, child.last) - min(parent.first, child.first)
        if spread > self._policy.max_length:
            return False
        return child.first <= parent.until(self.overlay.resolve_delay(parent))

    def _cost(
        self, parent: Alert, child: Alert, distance: int, confidence: float = 1.0
    ) -> tuple[int, timedelta]:
        """The nearer in time and graph, the better; alerts of one family are nearer, what is only
        suggested is farther."""
        rules, before = self._policy.propagation, child.first - parent.first
        far = distance * rules.hop_cost
        if confidence < 1:
            far += self._policy.suggested.cost
        if distance and parent.family == child.family:
            far -= rules.same_family_bonus
        if -self._policy.lateness <= before <= rules.expected_delay:
            return FRESH, abs(before) + far
        if before > rules.expected_delay:
            return OLDER, far
        return LATE, -before


def _leads_to(alert: Alert, top: Alert, parents: dict[str, Alert | None]) -> bool:
    current: Alert | None = alert
    for _ in range(len(parents) + 1):
        if current is None or current is top:
            break
        current = parents[current.id]
    return current is top


def _explains(parent: Alert, child: Alert) -> bool:
    """Whether *child*, downstream, may be a symptom of *parent*."""
    if not parent.believed or "none" in (parent.rule.effects, child.rule.causes):
        return False
    return parent.family == child.family or _both_any(parent.rule, child.rule)


def _both_any(parent: GroupingRule, child: GroupingRule) -> bool:
    return parent.effects == "any" and child.causes == "any"
