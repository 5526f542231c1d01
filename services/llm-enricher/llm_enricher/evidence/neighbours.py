"""Members of other incidents on the same devices, or on those they depend on, from memory. Pure.

It holds what this process was asked about; after a restart it is empty, and fills again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime

from aiops_core.bounded import BoundedDict
from aiops_core.models import Evidence, Incident
from llm_enricher.question import ContextFact

DEVICES_KEPT = 500
EACH_KEPT = 12  # newest members of a device
SHOWN = 6


class Neighbours:
    def __init__(self) -> None:
        self._of: BoundedDict[str, deque[tuple[str, Evidence]]] = BoundedDict(DEVICES_KEPT)

    def note(self, incident: Incident) -> None:
        """Remember the members of *incident*."""
        for member in incident.evidence:
            kept = self._of.get(member.device) or deque(maxlen=EACH_KEPT)
            if all(known.anomaly_id != member.anomaly_id for _, known in kept):
                kept.append((incident.id, member))
            self._of.put(member.device, kept)

    def around(
        self, incident: Incident, devices: Iterable[str], since: datetime, until: datetime
    ) -> Iterator[ContextFact]:
        """Members of other incidents on *devices* from *since* to *until*, the newest first."""
        own = {member.anomaly_id for member in incident.evidence}
        found = [
            member
            for device in devices
            for id_, member in self._of.get(device, ())
            if id_ != incident.id and member.anomaly_id not in own and since <= member.ts <= until
        ]
        for member in sorted(found, key=lambda one: one.ts, reverse=True)[:SHOWN]:
            yield ContextFact(
                id=f"anomaly:{member.anomaly_id}",
                kind="neighbour",
                ts=member.ts,
                device=member.device,
                service=member.service,
                text=member.msg[:300],
            )
