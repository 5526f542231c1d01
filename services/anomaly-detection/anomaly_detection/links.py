"""Which links between devices become messages: of one pair and kind, one an hour.

A sender is heard ``PER_HOUR`` times an hour: one that invents neighbours fills no stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from aiops_core.models import LinkObserved, LogEntry, Message
from aiops_core.normaliser.continuations import CONTINUES
from aiops_core.normaliser.entries import SENDER
from anomaly_detection.detectors.base import bounded_key, device_of
from anomaly_detection.remembered import Remembered
from anomaly_detection.said_links import SaidLink, said_link

AGAIN_AFTER = 3600.0  # seconds
PER_HOUR = 100  # messages caused by one sender
COST = AGAIN_AFTER / PER_HOUR
KINDS = {
    "lldp": "LLDP",
    "cdp": "CDP",
    "dhcp": "relay of DHCP",
    "arp": "its router",
    "ap_join": "access point",
    "bgp": "routing neighbour",
    "description": "the port's description",
}


class LinkReader:
    """*kept* pairs and senders are remembered. *name_of*: the name of a device that sends lines, by
    ship and any of its spellings; None for one that does not."""

    def __init__(self, kept: int, name_of: Callable[[str, str], str | None]) -> None:
        self._told = Remembered("links", kept, float)  # until when; seconds since 1970
        self._name_of = name_of
        self.memories: Sequence[Remembered] = (self._told,)

    def observe(self, line: LogEntry) -> Sequence[Message]:
        said = said_link(line.msg, line.labels)
        if said is None or CONTINUES in line.labels:
            return ()
        near = said.near or device_of(line)
        near_sends, far_sends = (self._name_of(line.ship_id, name) for name in (near, said.far))
        near, far = near_sends or near, far_sends or said.far
        if near.casefold() == far.casefold():
            return ()
        sender = line.labels.get(SENDER) or line.host
        arrived = line.stages.get("ingest", line.ts)
        if not self._is_due(line.ship_id, sender, (near, far, said.kind), arrived):
            return ()
        return [
            line.derive(
                LinkObserved,
                device=near,
                far=far,
                kind=said.kind,
                needs=said.needs,
                port=said.port,
                said=_sentence(near, far, said),
                sender=sender,
                sending=tuple(name for name in (near_sends, far_sends) if name),
            )
        ]

    def _is_due(
        self, ship_id: str, sender: str, link: tuple[str, str, str], arrived: datetime
    ) -> bool:
        now, state = arrived.timestamp(), self._told.state
        pair, budget = bounded_key(ship_id, *link), bounded_key(ship_id, sender)
        if now < state.get(pair, float):
            return False
        used = max(state.get(budget, float), now) + COST
        if used > now + AGAIN_AFTER:
            return False
        state.put(budget, used)
        state.put(pair, now + AGAIN_AFTER)
        return True


def _sentence(near: str, far: str, said: SaidLink) -> str:
    at = f" at {said.port}" if said.port else ""
    return f"{near[:60]} names {far[:60]}{at} ({KINDS[said.kind]})"
