"""The port to stored problems. ``tests/contract/test_problem_store.py`` is its contract.

A problem is what its incidents and occurrences are, as persons have merged and split them: it has
no row of its own. Every method raises Unavailable while the store is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol, Self

from fastapi import Query
from pydantic import BaseModel, Field

from aiops_core.models import Severity, UtcDatetime
from aiops_core.spreads import title_over
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.store import Word

ENDINGS_SHOWN = 20
TITLES_READ = 20  # of a spread, the newest: what they share is its title


@dataclass(frozen=True, slots=True)
class ProblemFilter:
    """The query parameters of a list of problems. Those of one spread are found by any of them."""

    open: Annotated[bool | None, Query(description="With an open incident, or without one.")] = None
    device: Annotated[
        str, Query(max_length=200, description="An affected device, in any case.")
    ] = ""
    chronic: Annotated[
        bool | None, Query(description="That come so regularly or often that it has a cadence.")
    ] = None
    times: Annotated[
        int | None,
        Query(ge=1, le=1_000_000, description="That came so often at least: 2; with `spread` 1."),
    ] = None
    q: Annotated[str, Query(max_length=200, description="Text in a title, a device or the id.")] = (
        ""
    )
    ship_id: Word = ""
    spread: Annotated[
        str, Query(max_length=200, description="The problems of this spread, each by itself.")
    ] = ""

    @property
    def least_times(self) -> int:
        """A list is of what came back, unless it is of a spread: that is shown whole."""
        return self.times or (1 if self.spread else 2)


class ProblemSummary(BaseModel):
    """A problem in a list. Title, severity and devices are those of its newest incident.

    Problems of one spread are one entry: its *id* is *spread*, its severity the worst of those that
    are open, its devices those of all.
    """

    id: str
    ship_id: str
    title: str
    severity: Severity
    devices: tuple[str, ...]
    root_device: str | None
    times: int = Field(description="How often it came, as far as that is known.")
    cadence: str = Field(description="Empty while unknown.", examples=["daily at 04:02"])
    open: bool
    quiet_since: UtcDatetime | None = Field(description="Null while an open incident is not quiet.")
    incidents: int
    newest_incident: str = Field(description="Its id.")
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    spread: str | None = Field(
        None, description="What it is one of: problems of one kind on several devices share it."
    )
    spread_devices: int = Field(0, description="On how many devices that is.")
    problems: int = Field(1, description="How many are in this entry.")
    open_problems: int = Field(0, description="How many of them are open.")

    def as_spread(self, titles: Sequence[str]) -> Self:
        """The entry of all of one spread, of which *titles* are known, the newest first."""
        title = title_over(titles, self.devices, self.spread_devices)
        return self.model_copy(update={"title": title, "root_device": None, "cadence": ""})


class StoredOccurrence(NamedTuple):
    """*place* counts from the newest, 1; *named* is the problem that the fact named."""

    place: int
    named: str
    incident_id: str
    number: int
    began: int
    ended: int | None
    ending: str
    note: str
    severity: Severity
    devices: int

    @property
    def key(self) -> str:
        """Orders occurrences that began at the same time."""
        return f"{self.incident_id} {self.named} {self.number:010}"


def occurrence_place(one: StoredOccurrence) -> tuple[int, str]:
    """Its position in a list."""
    return one.began, one.key


class Ending(NamedTuple):
    """A way in which it ended, how many times, and when last (microseconds)."""

    ending: str
    number: int
    last: int


class ProblemStore(Protocol):
    async def page(
        self,
        where: ProblemFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes,
        least: int,
    ) -> Sequence[ProblemSummary]:
        """Problems by ``last_seen`` and id, newest first, from *after* on; those of a spread on
        *least* devices or more are one, unless *where* names it."""

    async def problem(self, problem_id: str, homes: ProblemHomes) -> ProblemSummary | None:
        """However often it came."""

    async def spread(self, spread: str, homes: ProblemHomes) -> ProblemSummary | None:
        """All problems of it as one, on however few devices."""

    async def occurrences(
        self, problem_id: str, after: PagePosition | None, most: int, homes: ProblemHomes
    ) -> Sequence[StoredOccurrence]:
        """By ``began`` and key, newest first, from *after* on."""

    async def endings(self, problem_id: str, homes: ProblemHomes) -> Sequence[Ending]:
        """What ended it, the most frequent first."""


def times_of(named: int, known: int, is_edited: bool) -> int:
    """How often a problem came: *named* by correlation-service, *known* in the store.

    Rows of long ago have expired. When persons have merged or split it, the numbers that were named
    before count no more.
    """
    return known if is_edited and known else max(named, known)
