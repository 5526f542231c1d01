"""Every rule that may hide something now, and how often each did: one that never matched is listed too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from fastapi import Request

from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
from incident_api.ship.desk import ShipDesk
from incident_api.silences.queries import Hidden, SilenceStore
from incident_api.silences.shelf import Shelf


class Rule(NamedTuple):
    """A rule of the policy, a silence or an outage: its id, what it is, and why it hides."""

    id: str
    kind: str
    reason: str


class Known(NamedTuple):
    """The rules in force, and what was ever hidden, by the id of what hid it."""

    rules: Mapping[str, Rule]
    ever: Mapping[str, Hidden]


async def known(request: Request) -> Known:
    """Raises Unavailable while ClickHouse or NATS is away."""
    state = request.app.state
    shelf: Shelf = state.silences
    store: SilenceStore = state.hidden
    ship: ShipDesk = state.ship
    found = rules(state.suppress, await shelf.all(), ship.ship.outages, state.clock())
    ever = {hidden.rule: hidden for hidden in await store.hidden()}
    return Known({rule.id: rule for rule in found}, ever)


def rules(
    policy: SuppressPolicy,
    silences: Sequence[Silence],
    outages: Sequence[LinkOutage],
    now: datetime,
) -> Iterator[Rule]:
    """Pure: in the order in which correlation-service asks them."""
    for rule in policy.suppress:
        yield Rule(rule.id, "maintenance" if rule.match.maintenance else "rule", rule.reason)
    for silence in silences:
        if silence.state(now) != "expired":
            yield Rule(silence.id, "silence", f"{silence.reason} ({silence.owner})")
    for outage in outages:
        if now < outage.end + policy.outages.margin:
            yield Rule(outage.id, "outage", f"{outage.device}: {outage.reason}")
    for inhibition in policy.inhibit:
        yield Rule(inhibition.id, "inhibition", inhibition.reason)
