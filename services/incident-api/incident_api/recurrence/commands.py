"""Problems that persons merge and split: published durably, then in force and stored.

correlation-service reads the same fact: what comes later belongs to the problem that is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from aiops_core.models import ProblemEdited, derived_id
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from incident_api.incidents.commands import check_writable, publish
from incident_api.problem_homes import ProblemHomes
from incident_api.problems import Problem
from incident_api.recorder import Recorder
from incident_api.recurrence.models import (
    MergeProblem,
    SplitProblem,
    check_merge,
    check_number,
    check_split,
    check_whole,
    edit,
    split_id,
)
from incident_api.recurrence.store import ProblemStore, ProblemSummary

TICK = timedelta(microseconds=1)


class ProblemCommands:
    """One request after the other: the order of edits is that of their times."""

    def __init__(
        self,
        recorder: Recorder,
        bus: Bus,
        store: ProblemStore,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._recorder, self._bus, self._store, self._clock = recorder, bus, store, clock
        self._editing = asyncio.Lock()

    @property
    def _homes(self) -> ProblemHomes:
        return self._recorder.edits.homes

    async def merge(self, problem_id: str, body: MergeProblem, actor: str) -> str:
        """The id of the problem that has all occurrences. Problem 404, 409, 422; Unavailable."""
        check_writable(self._recorder, self._bus)
        async with self._editing:
            into = self._homes.of(body.into)
            if self._homes.merged.get(problem_id) == into:
                return into  # it is done already
            check_whole(problem_id, self._homes)
            ours, other = await self.find(problem_id), await self.find(body.into)
            check_merge(ours, other)
            await self._edit(
                lambda now, change: edit(
                    ours, "merge", other.id, now, change, actor=actor, comment=body.comment
                ),
                ours.id,
            )
            return other.id

    async def split(self, problem_id: str, body: SplitProblem, actor: str) -> str:
        """The id of the new problem. Problem 404, 409, 422; Unavailable."""
        check_writable(self._recorder, self._bus)
        async with self._editing:
            ours, incident_id = await self.find(problem_id), body.incident_id
            stored = await self._recorder.registry.get(incident_id)
            said = stored.incident.recurrence if stored else None
            named, homes = said.problem_id if said else "", self._homes
            into, home = split_id(incident_id), homes.of(named, incident_id)
            if home == into and homes.of(named) == ours.id:
                return into  # it is done already
            check_split(ours, incident_id, homes, home)
            await self._edit(
                lambda now, change: edit(
                    ours,
                    "split",
                    into,
                    now,
                    change,
                    incident_id=incident_id,
                    actor=actor,
                    comment=body.comment,
                ),
                ours.id,
            )
            return into

    async def find(self, problem_id: str) -> ProblemSummary:
        """That problem, or the one that it is part of now. Problem 404 for an unknown one, 409 for
        a spread of several."""
        found = await self.show(problem_id)
        if found.id == found.spread:
            what = f"{problem_id} is a spread of {found.problems} problems"
            raise Problem(409, f"{what}: name one of them")
        return found

    async def show(self, problem_id: str) -> ProblemSummary:
        """The same, or a spread."""
        homes = self._homes
        found = await self._store.problem(homes.of(problem_id), homes)
        found = found or await self._store.spread(problem_id, homes)
        if found is None:
            raise Problem(404, f"there is no problem {problem_id}")
        return found

    async def _edit(
        self, fact_of: Callable[[datetime, int], ProblemEdited], problem_id: str
    ) -> None:
        edits = self._recorder.edits
        check_number(len(edits))
        now = self._clock()
        if last := edits.last_at:
            now = max(now, last + TICK)
        fact = fact_of(now, edits.changes_of(problem_id) + 1)
        await publish(self._bus, fact, derived_id(fact.model_dump_json()))
        self._recorder.edit(fact)
        await self._recorder.try_write()
