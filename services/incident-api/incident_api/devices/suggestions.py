"""Suggested devices and edges: what is told, and what people decide about it.

The bucket of the inventory has the truth. An edge is accepted in two steps: the inventory gets it,
then the bucket says so. After a kill between the two the inventory tells that it was accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET
from aiops_core.inventory.suggestions import (
    KEY,
    EdgeFinding,
    EdgeKey,
    EvidenceKind,
    Suggestion,
    Suggestions,
)
from aiops_core.models import LinkObserved, Message
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.received import MessageKey, Received
from aiops_core.runtime.service import Service, Tuning, utc_now
from aiops_core.runtime.storing import Storing
from aiops_core.runtime.unreadable import skip
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.devices.commands import DeviceCommands
from incident_api.devices.models import DeviceImport
from incident_api.devices.observed import edges_of
from incident_api.devices.suggesting import (
    DEVICES_KEY,
    SuggestedDevice,
    SuggestedDevices,
    TakenIn,
    grown,
    relearned,
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
from incident_api.outage import DependencyOutages, ensure_connected, keep_doing
from incident_api.problems import Problem

log = StructuredLogger.get_logger(name="suggestions", service="incident-api", version=__version__)

CONSUMER = "incident-api-links"
WRITE_EVERY = 2.0  # seconds; all edges together are one value of the bucket
COMPARE_EVERY = 60.0  # seconds
WAITING = 2048  # observed links that wait for the next write
TUNING = Tuning(max_batch=256, linger=0.25)


class SuggestionCommands:
    """The only writer of suggestions. Every method raises Unavailable while NATS is away."""

    def __init__(
        self, devices: DeviceCommands, bus: Bus, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._devices, self._bus, self._clock = devices, bus, clock
        self._known: Suggestions | None = None
        self._described = SuggestedDevices()
        self._writing = asyncio.Lock()
        self._observed: list[LinkObserved] = []
        self._room = asyncio.Event()

    @property
    def known(self) -> Suggestions:
        """Those that people have typed meanwhile are accepted."""
        if self._known is None:
            raise Unavailable("incident-api is starting and waits for NATS")
        return settled(self._known, self._devices.inventory)

    @property
    def described(self) -> SuggestedDevices:
        return self._described

    async def recover(self, bus: Bus | None = None) -> None:
        """Read the bucket. What cannot be read is left out: evidence comes again."""
        self._devices.inventory  # noqa: B018 - raises Unavailable until the inventory is read
        if self._known is not None:
            return
        bucket = self._bus.bucket(BUCKET)
        edges, devices = await bucket.get(KEY), await bucket.get(DEVICES_KEY)
        known, described = Suggestions(), SuggestedDevices()
        try:
            known = Suggestions.from_json(edges) if edges else known
        except ValueError as exc:
            skip("incident-api.suggestions", KEY, exc)
        try:
            described = SuggestedDevices.from_json(devices) if devices else described
        except ValueError as exc:
            skip("incident-api.suggestions", DEVICES_KEY, exc)
        self._known, self._described = known, described

    async def keep_published(self) -> None:
        """The background loop: a broker that lost its disk gets them again."""
        await keep_doing(
            self._publish_again,
            COMPARE_EVERY,
            DependencyOutages("nats").outage("suggestions are not published"),
        )

    async def add(self, asked: NewSuggestions) -> SuggestionReport:
        """Take in what somebody found, or report what would be new."""
        now = self._clock()
        told: dict[EdgeKey, tuple[EdgeFinding, ...]] = {}
        for edge in asked.edges:
            key = EdgeKey(edge.device, edge.upstream)
            told[key] = (*told.get(key, ()), edge.finding(now))
        async with self._writing:
            taken = taken_in(self.known, self._devices.inventory, told)
            described = self._described.found(
                SuggestedDevice(device=one.device.but(upstream=()), said=one.said, last_seen=now)
                for one in asked.devices
            )
            if not asked.dry_run:
                await self._keep(taken.suggestions, described)
        unknown = {one.device.id for one in described.unknown_to(self._devices.inventory)}
        return SuggestionReport(
            edges=list(taken.outcomes),
            devices=[one.device.id for one in asked.devices if one.device.id in unknown],
            dry_run=asked.dry_run,
        )

    async def relearn(self, kind: EvidenceKind, told: Mapping[EdgeKey, EdgeFinding]) -> TakenIn:
        """Take in all that evidence of *kind* says now; what it said earlier is over."""
        async with self._writing:
            taken = relearned(self.known, self._devices.inventory, kind, told)
            await self._keep(taken.suggestions, self._described)
        return taken

    async def accept(self, asked: Acceptance, actor: str) -> AcceptanceReport:
        """Import the chosen edges and the devices that they miss, as one edition by *actor*."""
        async with self._writing:
            keys = [one.key for one in self._chosen(asked)]
            self._check_devices(asked.devices)
            after = grown(self._devices.inventory, keys, self._described, asked.devices)
            if after.skipped and asked.device is not None:
                raise Problem(422, "; ".join(one.reason for one in after.skipped))
            order = DeviceImport(devices=list(after.devices), dry_run=asked.dry_run)
            report = await self._devices.imports(order, actor)
            if not asked.dry_run:
                known = self.known
                for key in after.accepted:
                    known = known.decided(key.device, key.upstream, "accepted")
                await self._keep(known, self._described)
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
        async with self._writing:
            keys = [one.key for one in self._chosen(asked)]
            self._check_devices(asked.devices)
            known, described = self.known, self._described
            for key in keys:
                known = known.decided(key.device, key.upstream, "rejected")
            for name in asked.devices:
                described = described.rejected(name)
            await self._keep(known, described)
            log.info("suggestions rejected", actor=actor, edges=keys, devices=asked.devices)
        return RejectionReport(
            rejected=[DecidedEdge.of(key) for key in keys], devices=list(asked.devices)
        )

    def _chosen(self, asked: Choice) -> list[Suggestion]:
        """The surest first. Problem 404 for what nothing suggests."""
        found = sorted(self.known, key=lambda one: -one.confidence)
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

    def _check_devices(self, names: Sequence[str]) -> None:
        for name in names:
            if self._described.get(name) is None:
                raise Problem(404, f"nothing suggests a device {name}")

    # -- what detection read in lines ------------------------------------------------------------

    def service(self) -> Service:
        """A consumer of its own: a write of all suggestions delays no incident."""
        return Service(
            "incident-api",
            {LinkObserved: self.observed},
            Storing(self.flush, every=WRITE_EVERY),
            consumer=CONSUMER,
            tuning=TUNING,
            recover=self.recover,
        )

    async def observed(self, received: Received[LinkObserved]) -> Sequence[Message]:
        while len(self._observed) >= WAITING:
            self._room.clear()
            await self._room.wait()
        self._observed.append(received.message)
        return ()

    async def flush(self) -> Mapping[MessageKey, str]:
        """Return when every link that was observed before the call is in the bucket."""
        async with self._writing:
            observed = list(self._observed)
            if observed:
                told = edges_of(observed, self._devices.inventory)
                known = self.known
                for findings in told:
                    known = taken_in(known, self._devices.inventory, findings).suggestions
                await self._keep(known, self._described)
                del self._observed[: len(observed)]
                self._room.set()
        return {}

    # -- the bucket ------------------------------------------------------------------------------

    async def _keep(self, known: Suggestions, described: SuggestedDevices) -> None:
        """Write what has changed, then let it count."""
        ensure_connected(self._bus)
        bucket = self._bus.bucket(BUCKET)
        if described != self._described:
            await bucket.put(DEVICES_KEY, described.to_json())
            self._described = described
        if known != self._known:
            await bucket.put(KEY, known.to_json())
            self._known = known

    async def _publish_again(self) -> None:
        async with self._writing:
            bucket = self._bus.bucket(BUCKET)
            for key, kept in ((KEY, self.known), (DEVICES_KEY, self._described)):
                data = kept.to_json()
                if len(kept) and await bucket.get(key) != data:
                    await bucket.put(key, data)
