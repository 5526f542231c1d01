"""Changes by operators: published durably, folded, and stored before the request is answered.

While the store is away they are stored later. The stream has them first, so a kill in between loses
nothing; when the message is consumed, its fact has been folded already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from aiops_core.errors import Unavailable
from aiops_core.models import Incident, Message, TimelineEntry, derived_id
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.utils import generate_tracking_id
from incident_api.folding import StoredIncident
from incident_api.incidents.models import NewIncident, TransitionKind, check_merge, transition
from incident_api.outage import ensure_connected
from incident_api.problems import Problem
from incident_api.recorder import Recorder, ensure_recovered
from incident_api.registry import KeyedLocks

PUBLISH_TIMEOUT = 5.0  # seconds that a client waits for a broker that is away


class IncidentCommands:
    """Serialises the requests on one incident. Reported incidents are of *ship_id* by default."""

    def __init__(
        self,
        recorder: Recorder,
        bus: Bus,
        ship_id: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._recorder, self._bus = recorder, bus
        self._ship_id, self._clock = ship_id, clock
        self._locks = KeyedLocks()
        self._merging = asyncio.Lock()

    async def change(
        self, incident_id: str, kind: TransitionKind, actor: str, details: Mapping[str, object]
    ) -> StoredIncident:
        """The incident after the transition. Problem 404 or 409; Unavailable."""
        check_writable(self._recorder, self._bus)
        async with self._locks.hold(incident_id):
            stored = await self._expect(incident_id)
            fact = transition(stored, kind, actor, self._clock(), details)
            if fact is None:
                return stored
            await publish(self._bus, fact, derived_id(fact.model_dump_json()))
            await self._recorder.registry.get(incident_id)
            return await self._record(fact)

    async def merge(self, incident_id: str, into: str, actor: str, comment: str) -> StoredIncident:
        """The incident after it was merged into *into*. Problem 404, 409, 422; Unavailable."""
        check_writable(self._recorder, self._bus)
        async with self._merging:  # not two into each other at once
            ours, other = await self._expect(incident_id), await self._expect(into)
            check_merge(ours.incident, other.incident)
            details = {"merged_into": into, "comment": comment}
            return await self.change(incident_id, "merge", actor, details)

    async def _expect(self, incident_id: str) -> StoredIncident:
        stored = await self._recorder.registry.get(incident_id)
        if stored is None:
            raise Problem(404, f"there is no incident {incident_id}")
        return stored

    async def report(self, new: NewIncident, actor: str) -> StoredIncident:
        """Open an incident that a person reports."""
        check_writable(self._recorder, self._bus)
        incident = self._opened(new, actor)
        await publish(self._bus, incident, incident.id)
        return await self._record(incident)

    def _opened(self, new: NewIncident, actor: str) -> Incident:
        now = self._clock()
        entry = TimelineEntry(ts=now, kind="created", text=f"reported: {new.title}", actor=actor)
        times = dict.fromkeys(("ts", "first_seen", "last_seen", "created_at", "updated_at"), now)
        given = new.model_dump(exclude={"ship_id"})
        return Incident(
            id=generate_tracking_id(),
            tracking_id=generate_tracking_id(),
            ship_id=new.ship_id or self._ship_id,
            stages={"ingest": now, "correlate": now},
            timeline=(entry,),
            **given,
            **times,
        )

    async def _record(self, fact: Message) -> StoredIncident:
        stored = self._recorder.record(fact)
        await self._recorder.try_write()
        return stored


async def publish(bus: Bus, fact: Message, message_id: str) -> None:
    """Return when *fact* is durable. Raises Unavailable when the broker does not answer."""
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            await bus.publish([Outgoing(fact, message_id)])
    except TimeoutError as exc:
        raise Unavailable("NATS does not answer; the change may or may not arrive") from exc


def check_writable(recorder: Recorder, bus: Bus) -> None:
    """Refuse before anything is published: no change is left half done."""
    ensure_recovered(recorder)
    ensure_connected(bus)
    if recorder.is_full:
        raise Unavailable("ClickHouse takes nothing, and no more changes can wait for it")
