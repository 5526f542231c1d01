"""``policies/correlate.yaml``: what belongs together, for how long, and what makes no incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field

from aiops_core.models import Fraction
from aiops_core.policy.file import Replay, Section
from aiops_core.suppression.policy import SuppressPolicy

KeyKind = Literal["peer", "service", "device", "attacked", "type"]
Reach = Literal["any", "family", "none"]
Positive = Annotated[timedelta, Field(gt=timedelta(0))]
Window = Annotated[timedelta, Field(ge=timedelta(minutes=1), le=timedelta(minutes=30))]
T = TypeVar("T")

TYPES_KEPT = 4096  # anomaly types whose rules are remembered; detectors invent no more


class GroupingRule(Section):
    """How anomalies of a type group: by which keys, the strongest first, and along the graph.

    *spreads*: what a device downstream may show because of it; *follows*: of what upstream it may be a
    symptom. ``family``: only anomalies of the same family, by default its own type alone. Fewer than
    *min_evidence* of the type on a device explain nothing and follow only a cause that has just begun.
    *points_up*: it may mean that what the device hangs on is dead and cannot say so.
    """

    by: tuple[KeyKind, ...]
    spreads: Reach = "any"
    follows: Reach = "any"
    min_evidence: int = Field(1, ge=1)
    points_up: bool = False


class Propagation(Section):
    """How trouble travels down the dependency graph, and how late its cause may be noticed."""

    usual: Positive  # a cause that began so shortly before is preferred to an older one
    per_hop: timedelta = Field(
        ge=timedelta(0)
    )  # what a dependency between them costs in comparison
    like: timedelta = Field(ge=timedelta(0))  # what it is worth that both are of one family
    cause_lag: Positive  # a cause may be noticed so long after its symptoms


class SilentParent(Section):
    """When the common parent of devices is blamed although it says nothing: at least *devices*, and
    *share* of all that need it directly, point up *within* this time."""

    devices: int = Field(ge=2)
    share: Fraction
    within: Positive


class Flapping(Section):
    """From *times* recoveries *within* a time on, it is called flapping and must stay recovered for
    *resolve_delay*."""

    times: int = Field(ge=2)
    within: Positive
    resolve_delay: Positive


class Wording(Section):
    """How incidents that begin with a type are called; ``{device}``, ``{service}``, ``{peer}``,
    ``{metric}`` stand for values of its anomalies."""

    category: str
    title: str


class CorrelatePolicy(SuppressPolicy):
    """Times are ISO 8601 durations. Tables by anomaly type take globs as well; an exact name goes first,
    then the first glob that fits."""

    model_config = ConfigDict(extra="forbid")

    window: Window
    windows: dict[str, Window]
    max_length: Positive
    lateness: Positive
    settle: Positive
    resolve_delay: Positive
    flapping: Flapping
    members_kept: int = Field(ge=1)
    default_grouping: GroupingRule
    grouping: dict[str, GroupingRule]
    families: dict[str, tuple[str, ...]]
    propagation: Propagation
    silent_parent: SilentParent
    escalate_devices: int = Field(ge=2)
    default_wording: Wording
    wording: dict[str, Wording]

    @cached_property
    def window_of(self) -> Callable[[str], timedelta]:
        return _by_type(self.windows, lambda kind: self.window)

    @cached_property
    def grouping_of(self) -> Callable[[str], GroupingRule]:
        return _by_type(self.grouping, lambda kind: self.default_grouping)

    @cached_property
    def family_of(self) -> Callable[[str], str]:
        """The family that names an anomaly type, or the type itself."""
        kin = {kind: family for family, kinds in self.families.items() for kind in kinds}
        return _by_type(kin, lambda kind: kind)

    @cached_property
    def wording_of(self) -> Callable[[str], Wording]:
        return _by_type(self.wording, lambda kind: self.default_wording)

    @property
    def longest_memory(self) -> timedelta:
        """How far back facts can matter for an incident that is still open."""
        longest = max(
            self.window, *self.windows.values(), self.flapping.within, self.flapping.resolve_delay
        )
        return self.max_length + longest + self.settle

    def replays(self) -> Sequence[Replay]:
        why = "max_length + the longest of window, windows and flapping + settle"
        return [Replay("incidents", self.longest_memory, why)]


def _by_type(table: Mapping[str, T], default: Callable[[str], T]) -> Callable[[str], T]:
    """The entry of *table* for an anomaly type: of its own name, else of the first glob that fits."""

    @lru_cache(TYPES_KEPT)
    def find(kind: str) -> T:
        if kind in table:
            return table[kind]
        return next((v for glob, v in table.items() if fnmatchcase(kind, glob)), default(kind))

    return find
