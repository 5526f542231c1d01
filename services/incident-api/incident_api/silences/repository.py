"""Silences in the bucket ``silences``, which correlation-service watches."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime

from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import skip
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import BUCKET, Silence, decode
from incident_api.outage import DependencyOutages, ensure_connected, keep_doing
from incident_api.problems import Problem
from incident_api.silences.models import EditSilence, NewSilence, created, edited, ended

TIDY_EVERY = 600.0  # seconds


class SilenceRepository:
    """The only writer of silences. Every method raises Unavailable while NATS is away."""

    def __init__(
        self, bus: Bus, policy: SuppressPolicy, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._bus, self._bucket = bus, bus.bucket(BUCKET)
        self._policy, self._clock = policy, clock
        self._writing = asyncio.Lock()

    async def all(self) -> list[Silence]:
        """Pending, active and expired ones, by start."""
        ensure_connected(self._bus)
        silences, wrong = decode(await self._bucket.all())
        for key, reason in wrong.items():
            skip("incident-api.silences", key, reason)
        return silences

    async def get(self, silence_id: str) -> Silence:
        """Problem 404 for an unknown id."""
        found = {silence.id: silence for silence in await self.all()}
        if silence_id not in found:
            raise Problem(404, f"there is no silence {silence_id}")
        return found[silence_id]

    async def add(self, new: NewSilence, actor: str) -> Silence:
        """Problem 422 for one that is not allowed, 409 when there are too many."""
        async with self._writing:
            now, most = self._clock(), self._policy.silences.most
            silence = created(new, f"silence-{secrets.token_hex(5)}", actor, now, self._policy)
            alive = [one for one in await self.all() if one.state_at(now) != "expired"]
            if len(alive) >= most:
                raise Problem(409, f"there are {most} silences already; end some that nobody needs")
            return await self._put(silence)

    async def edit(self, silence_id: str, edit: EditSilence, actor: str) -> Silence:
        async with self._writing:
            silence = await self.get(silence_id)
            return await self._put(edited(silence, edit, actor, self._clock(), self._policy))

    async def end(self, silence_id: str, actor: str) -> Silence:
        """Ending an expired silence changes nothing."""
        async with self._writing:
            silence = await self.get(silence_id)
            after = ended(silence, actor, self._clock())
            return after if after is silence else await self._put(after)

    async def keep_tidy(self) -> None:
        """The background loop: ``tidy`` every ten minutes."""
        await keep_doing(
            self.tidy,
            TIDY_EVERY,
            DependencyOutages("nats").outage("expired silences are not deleted"),
        )

    async def tidy(self) -> None:
        """Delete silences that expired ``keep_expired`` ago, and the oldest beyond ``most``."""
        limits, now = self._policy.silences, self._clock()
        async with self._writing:
            expired = [
                silence for silence in await self.all() if silence.state_at(now) == "expired"
            ]
            expired.sort(key=lambda silence: silence.ends_at, reverse=True)
            for n, silence in enumerate(expired):
                if n >= limits.most or silence.ends_at < now - limits.keep_expired:
                    await self._bucket.delete(silence.id)

    async def _put(self, silence: Silence) -> Silence:
        await self._bucket.put(silence.id, silence.model_dump_json().encode())
        return silence
