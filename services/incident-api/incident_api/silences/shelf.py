"""Where silences are kept: bucket ``silences`` of the key-value store, which correlation-service watches."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime

from aiops_core.errors import Unavailable
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import skip
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import BUCKET, Silence, decode
from incident_api.outage import DependencyOutages, keep_doing
from incident_api.problems import Problem
from incident_api.silences.models import EditSilence, NewSilence
from incident_api.silences.orders import drafted, edited, ended

TIDY_EVERY = 600.0  # seconds


class Shelf:
    """The only writer of silences. Every method raises Unavailable while NATS is away."""

    def __init__(
        self, bus: Bus, policy: SuppressPolicy, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._bus, self._bucket = bus, bus.bucket(BUCKET)
        self._policy, self._clock = policy, clock
        self._writing = asyncio.Lock()

    async def all(self) -> list[Silence]:
        """Those that are remembered, by start."""
        self._check()
        silences, wrong = decode(await self._bucket.all())
        for key, reason in wrong.items():
            skip("incident-api.silences", key, reason)
        return silences

    async def get(self, silence_id: str) -> Silence:
        """A Problem (404) when there is none."""
        found = {silence.id: silence for silence in await self.all()}
        if silence_id not in found:
            raise Problem(404, f"there is no silence {silence_id}")
        return found[silence_id]

    async def add(self, new: NewSilence, actor: str) -> Silence:
        """A Problem: 422 for one that may not be, 409 when there are too many."""
        async with self._writing:
            now, most = self._clock(), self._policy.silences.most
            silence = drafted(new, f"silence-{secrets.token_hex(5)}", actor, now, self._policy)
            alive = [one for one in await self.all() if one.state(now) != "expired"]
            if len(alive) >= most:
                raise Problem(409, f"there are {most} silences already; end some that nobody needs")
            return await self._put(silence)

    async def edit(self, silence_id: str, edit: EditSilence, actor: str) -> Silence:
        async with self._writing:
            silence = await self.get(silence_id)
            return await self._put(edited(silence, edit, actor, self._clock(), self._policy))

    async def end(self, silence_id: str, actor: str) -> Silence:
        async with self._writing:
            silence = await self.get(silence_id)
            over = ended(silence, actor, self._clock())
            return over if over is silence else await self._put(over)

    async def keep_tidy(self) -> None:
        """Forget what has been over for long."""
        await keep_doing(
            self.tidy,
            lambda: asyncio.sleep(TIDY_EVERY),
            DependencyOutages("nats").outage("silences that are over are not forgotten"),
        )

    async def tidy(self) -> None:
        """Keep what may be in force, and of what is over the newest, for the time of the policy."""
        limits, now = self._policy.silences, self._clock()
        async with self._writing:
            over = [silence for silence in await self.all() if silence.state(now) == "expired"]
            over.sort(key=lambda silence: silence.end, reverse=True)
            for n, silence in enumerate(over):
                if n >= limits.most or silence.end < now - limits.keep_expired:
                    await self._bucket.delete(silence.id)

    async def _put(self, silence: Silence) -> Silence:
        await self._bucket.put(silence.id, silence.model_dump_json().encode())
        return silence

    def _check(self) -> None:
        if not self._bus.connected:
            raise Unavailable("NATS is away")
