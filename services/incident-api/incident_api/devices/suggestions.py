"""Suggested devices and edges: what is told, and what people decide about it.

The bucket of the inventory has the truth. An edge is accepted in two steps: the inventory gets it,
then the bucket says so. After a kill between the two the inventory tells that it was accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import reduce

from aiops_core.inventory.suggestions import (
    EdgeFinding,
    EdgeKey,
    EdgeStatus,
    Suggestion,
    Suggestions,
)
from aiops_core.models import LinkObserved, Message
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.received import MessageKey, Received
from aiops_core.runtime.service import Service, Tuning, utc_now
from aiops_core.runtime.storing import Storing
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.devices.commands import DeviceCommands
from incident_api.devices.models import DeviceImport
from incident_api.devices.observed import edges_of
from incident_api.devices.published import PublishedDevices, PublishedSuggestions
from incident_api.devices.suggesting import (
    SuggestedDevice,
    SuggestedDevices,
    TakenIn,
    Told,
    grown,
    settled,
    taken_in,
)
from incident_api.devices.suggestion_models import (
    Acceptance,
    AcceptanceReport,
    Choice,
    DecidedEdge,
    NewSuggestions,
    RejectionReport,
    SuggestionReport,
)
from incident_api.problems import Problem

log = StructuredLogger.get_logger(name="suggestions", service="incident-api", version=__version__)

CONSUMER = "incident-api-links"
WRITE_EVERY = 2.0  # seconds; all edges together are one value of the bucket
WAITING = 2048  # observed links that wait for the next write
TUNING = Tuning(max_batch=256, linger=0.25)


class SuggestionCommands:
    """Every method raises Unavailable while NATS is away, or until the inventory has been read."""

    def __init__(
        self,
        devices: DeviceCommands,
        edges: PublishedSuggestions,
        described: PublishedDevices,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._devices, self._edges, self._described = devices, edges, described
        self._clock = clock
        self._observed: list[LinkObserved] = []
        self._room = asyncio.Event()

    async def edges(self) -> Suggestions:
        """Those that people have typed meanwhile are accepted."""
        return settled(await self._edges.read(), self._devices.inventory)

    async def unknown_devices(self) -> Sequence[SuggestedDevice]:
        """Suggested devices that the inventory lacks."""
        return (await self._described.read()).unknown_to(self._devices.inventory)

    async def add(self, asked: NewSuggestions) -> SuggestionReport:
        """Take in what somebody found, or report what would be new."""
        now = self._clock()
        told: dict[EdgeKey, tuple[EdgeFinding, ...]] = {}
        for edge in asked.edges:
            key = EdgeKey(edge.device, edge.upstream)
            told[key] = (*told.get(key, ()), edge.finding(now))
        found = [
            SuggestedDevice(device=one.device.but(upstream=()), said=one.said, last_seen=now)
            for one in asked.devices
        ]
        inventory = self._devices.inventory
        taken = taken_in(await self.edges(), inventory, told)
        described = (await self._described.read()).found(found)
        if not asked.dry_run:
            described = await self._described.change(lambda known: known.found(found))
            taken = await self._take_in(told)
        unknown = {one.device.id for one in described.unknown_to(inventory)}
        return SuggestionReport(
            edges=list(taken.outcomes),
            devices=[one.device.id for one in found if one.device.id in unknown],
            dry_run=asked.dry_run,
        )

    async def _take_in(self, *told: Told) -> TakenIn:
        """All of *told*, one after the other; the outcomes are of the last."""
        inventory = self._devices.inventory
        taken = TakenIn(Suggestions(), ())

        def with_told(known: Suggestions) -> Suggestions:
            nonlocal taken
            taken = TakenIn(settled(known, inventory), ())
            for findings in told:
                taken = taken_in(taken.suggestions, inventory, findings)
            return taken.suggestions

        await self._edges.change(with_told)
        return taken

    async def accept(self, asked: Acceptance, actor: str) -> AcceptanceReport:
        """Import the chosen edges and the devices that they miss, as one edition by *actor*."""
        keys = [one.key for one in self._chosen(asked, await self.edges())]
        described = await self._named(asked.devices)
        after = grown(self._devices.inventory, keys, described, asked.devices)
        if after.skipped and asked.device is not None:
            raise Problem(422, "; ".join(one.reason for one in after.skipped))
        order = DeviceImport(devices=list(after.devices), dry_run=asked.dry_run)
        report = await self._devices.imports(order, actor)
        if not asked.dry_run:
            await self._decide(after.accepted, "accepted")
            log.info("suggestions accepted", actor=actor, edges=after.accepted)
        return AcceptanceReport(
            accepted=[DecidedEdge.of(key) for key in after.accepted],
            skipped=list(after.skipped),
            added=list(report.added),
            changed=list(report.changed),
            total=report.total,
            dry_run=asked.dry_run,
        )

    async def reject(self, asked: Choice, actor: str) -> RejectionReport:
        """They are remembered, and never suggested again."""
        keys = [one.key for one in self._chosen(asked, await self.edges())]
        await self._named(asked.devices)
        await self._decide(keys, "rejected")
        if asked.devices:
            await self._described.change(
                lambda known: reduce(SuggestedDevices.rejected, asked.devices, known)
            )
        log.info("suggestions rejected", actor=actor, edges=keys, devices=asked.devices)
        return RejectionReport(
            rejected=[DecidedEdge.of(key) for key in keys], devices=list(asked.devices)
        )

    async def _decide(self, keys: Sequence[EdgeKey], status: EdgeStatus) -> None:
        """An edge that was learned away meanwhile is decided by the inventory alone."""

        def decided(known: Suggestions) -> Suggestions:
            of = (one.but(status=status) for key in keys if (one := known.get(*key)))
            return Suggestions((*known, *of))

        await self._edges.change(decided)

    def _chosen(self, asked: Choice, known: Suggestions) -> list[Suggestion]:
        """The surest first. Problem 404 for what nothing suggests."""
        found = sorted(known, key=lambda one: -one.confidence)
        if asked.least is not None:
            return [one for one in found if one.status == "open" and one.confidence >= asked.least]
        if asked.device is None:
            return []
        mine = [one for one in found if self._is(one.device, asked.device)]
        if not asked.upstream:
            mine = [one for one in mine if one.status == "open"]
            if not mine:
                raise Problem(404, f"nothing suggests what {asked.device} needs")
            return mine
        return [self._one(mine, asked.device, name) for name in asked.upstream]

    def _one(self, mine: Sequence[Suggestion], device: str, upstream: str) -> Suggestion:
        for one in mine:
            if self._is(one.upstream, upstream):
                return one
        raise Problem(404, f"nothing suggests that {device} needs {upstream}")

    def _is(self, name: str, asked: str) -> bool:
        known = self._devices.inventory.resolve(asked) or asked
        return known.casefold() == name.casefold()

    async def _named(self, names: Sequence[str]) -> SuggestedDevices:
        """All suggested devices. Problem 404 when one of *names* is none of them."""
        described = await self._described.read()
        for name in names:
            if described.get(name) is None:
                raise Problem(404, f"nothing suggests a device {name}")
        return described

    # -- what detection read in lines ------------------------------------------------------------

    def service(self) -> Service:
        """A consumer of its own: a write of all suggestions delays no incident."""
        return Service(
            "incident-api",
            {LinkObserved: self.observed},
            Storing(self.flush, every=WRITE_EVERY),
            consumer=CONSUMER,
            tuning=TUNING,
            recover=self._inventory_read,
        )

    async def _inventory_read(self, bus: Bus) -> None:
        self._devices.inventory  # noqa: B018 - raises Unavailable until then

    async def observed(self, received: Received[LinkObserved]) -> Sequence[Message]:
        while len(self._observed) >= WAITING:
            self._room.clear()
            await self._room.wait()
        self._observed.append(received.message)
        return ()

    async def flush(self) -> Mapping[MessageKey, str]:
        """Return when every link that was observed before the call is in the bucket."""
        observed = list(self._observed)
        if observed:
            await self._take_in(*edges_of(observed, self._devices.inventory))
            del self._observed[: len(observed)]
            self._room.set()
        return {}
