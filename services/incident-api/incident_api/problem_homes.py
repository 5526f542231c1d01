"""Pure: which problem an occurrence belongs to, now that persons have merged and split some.

Facts name the problem that correlation-service knew then. An edit changes no row: the home of an
occurrence is found when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.models import ProblemEdited

Of = tuple[str, str]  # a problem and an incident


@dataclass(frozen=True, slots=True)
class ProblemHomes:
    """*merged*: problem -> the one that has its occurrences; *split*: the same for those within one
    incident alone."""

    merged: dict[str, str] = field(default_factory=dict)
    split: dict[Of, str] = field(default_factory=dict)

    def of(self, problem_id: str, incident_id: str = "") -> str:
        home = self.split.get((problem_id, incident_id))
        return home or self.merged.get(problem_id, problem_id)

    def named(self, problem_id: str) -> list[str]:
        """The problems that facts may name of what is at home in *problem_id*."""
        merged = [named for named, home in self.merged.items() if home == problem_id]
        split = [named for (named, _), home in self.split.items() if home == problem_id]
        return [problem_id, *merged, *split]

    @property
    def edited(self) -> set[str]:
        """Problems that occurrences have left or joined: their numbers count no more."""
        left = {self.merged.get(named, named) for named, _ in self.split}
        return {*self.merged.values(), *self.split.values(), *left}

    def after(self, edit: ProblemEdited) -> ProblemHomes:
        if edit.into is None:
            return self
        if edit.kind == "merge":
            return self._merging(edit.problem_id, edit.into)
        return self._splitting(edit.problem_id, edit.incident_id or "", edit.into)

    def _merging(self, problem_id: str, into: str) -> ProblemHomes:
        def moved(home: str) -> str:
            return into if home == problem_id else home

        merged = {named: moved(home) for named, home in self.merged.items()}
        split = {key: moved(home) for key, home in self.split.items()}
        return ProblemHomes(merged | {problem_id: into}, split)

    def _splitting(self, problem_id: str, incident_id: str, into: str) -> ProblemHomes:
        """Whatever facts of the incident name that is at home in that problem."""
        named = {problem_id, *(n for n, home in self.merged.items() if home == problem_id)}
        named |= {n for (n, i), _ in self.split.items() if i == incident_id}
        leaving = {
            (one, incident_id): into for one in named if self.of(one, incident_id) == problem_id
        }
        return ProblemHomes(self.merged, self.split | leaving)


class ProblemEdits:
    """The edits of persons, each once, in the order in which they were made."""

    def __init__(self) -> None:
        self._edits: dict[tuple[str, int], ProblemEdited] = {}
        self.homes = ProblemHomes()

    def __len__(self) -> int:
        return len(self._edits)

    def add(self, edits: Iterable[ProblemEdited]) -> None:
        self._edits |= {(edit.problem_id, edit.change): edit for edit in edits}
        homes = ProblemHomes()
        for edit in self.in_order():
            homes = homes.after(edit)
        self.homes = homes

    def in_order(self) -> list[ProblemEdited]:
        return sorted(self._edits.values(), key=lambda one: (one.ts, one.problem_id, one.change))

    @property
    def last_at(self) -> datetime | None:
        """The time of the last one."""
        return max((edit.ts for edit in self._edits.values()), default=None)

    def changes_of(self, problem_id: str) -> int:
        """The number of its newest edit; 0 without any."""
        return max((n for named, n in self._edits if named == problem_id), default=0)
