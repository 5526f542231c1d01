"""``policies/correlate.yaml``: how anomalies group into incidents, and which are suppressed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from aiops_core.inventory.policy import SuggestedEdges
from aiops_core.models import Fraction
from aiops_core.policy.file import Replay, Section
from aiops_core.policy.spread import SpreadRules
from aiops_core.suppression.policy import SuppressPolicy
from correlation_service.cadence import CadenceRules

KeyKind = Literal["peer", "service", "device", "attacked", "type"]
Reach = Literal["any", "family", "none"]
Positive = Annotated[timedelta, Field(gt=timedelta(0))]
Window = Annotated[timedelta, Field(ge=timedelta(minutes=1), le=timedelta(minutes=30))]
T = TypeVar("T")

# What a title may name; ``told`` gives the values.
PLACES = frozenset(
    (
        *("device", "service", "program", "peer", "component", "far", "what", "type", "since"),
        *("times", "metric", "value", "reading", "usual"),
    )
)
_PLACES = re.compile(r"\{([^{}]*)\}")
TYPES_KEPT = 4096  # anomaly types whose rules are remembered; detectors invent no more


def _several(titles: object) -> object:
    return (titles,) if isinstance(titles, str) else titles


class GroupingRule(Section):
    """How anomalies of a type group: by which keys, the strongest first, and along the dependency
    graph.

    *effects*: which anomalies on devices downstream it may explain; *causes*: which ones upstream
    may explain it (``family``: only of the same family, by default its own type alone). Fewer than
    *min_evidence* of the type on a device explain nothing and follow only a cause that has just
    begun. *suspect_upstream*: it may mean that a device upstream is dead and cannot say so.
    *keeps_severity*: it is as bad as it was after it has ended, until somebody has looked at it.
    *spreads*: many devices that use the same thing tell of it in the same seconds. *at_once*: it is
    noticed the moment it happens, not at the next attempt.
    """

    by: tuple[KeyKind, ...]
    effects: Reach = "any"
    causes: Reach = "any"
    min_evidence: int = Field(1, ge=1)
    suspect_upstream: bool = False
    keeps_severity: bool = False
    spreads: bool = False
    at_once: bool = False


class Propagation(Section):
    """How trouble travels down the dependency graph.

    A cause is preferred when it began at most *expected_delay* before its symptom, of several the
    nearest: *hop_cost* is the distance of one dependency, and *same_family_bonus* shortens it. A
    cause may be noticed *max_cause_delay* after its symptoms. On devices that the inventory lacks,
    troubles of one kind, which spreads or suspects a device upstream, are one when they begin
    within *together* of each other; within *at_once* when both are noticed the moment they happen.
    No *together*: never.
    """

    expected_delay: Positive
    hop_cost: timedelta = Field(ge=timedelta(0))
    same_family_bonus: timedelta = Field(ge=timedelta(0))
    max_cause_delay: Positive
    together: timedelta = Field(ge=timedelta(0))
    at_once: timedelta = Field(timedelta(seconds=0.9), ge=timedelta(0))

    @model_validator(mode="after")
    def _at_once_is_nearer(self) -> Self:
        stated = "at_once" in self.model_fields_set
        if stated and self.together and self.at_once > self.together:
            raise ValueError("at_once is longer than together, so it has no effect")
        return self


class SilentParent(Section):
    """When the common parent of devices is inferred to be down although it says nothing:
    *min_devices*, and *min_share* of all that need it directly, complain *within* this time."""

    min_devices: int = Field(ge=2)
    min_share: Fraction
    within: Positive


class Flapping(Section):
    """After *times* recoveries *within* a time an alert is flapping, and must stay recovered for
    *resolve_delay*."""

    times: int = Field(ge=2)
    within: Positive
    resolve_delay: Positive


class ProblemRules(CadenceRules):
    """When what comes back is one problem, and what is told of it.

    *reopen_within* this time after its end an incident is reopened. A problem with a cadence is
    chronic: one incident, open until it was silent for *patience* gaps. *grown*: so many times as
    many devices, or as long, is told. *spread*: when those of one kind are one item.
    """

    reopen_within: Positive
    patience: float = Field(ge=1, allow_inf_nan=False)
    grown: float = Field(gt=1, allow_inf_nan=False)
    spread: SpreadRules


class Wording(Section):
    """The title of incidents with a type at their root: the first of *title* of which all places
    have a value. ``{device}``, ``{component|what}`` are places, text in brackets is left out when
    a place in it has no value. *generic*: the type says little, and any other is named first.
    """

    category: str
    title: Annotated[tuple[str, ...], BeforeValidator(_several)]
    generic: bool = False

    @field_validator("title")
    @classmethod
    def _known_places(cls, titles: tuple[str, ...]) -> tuple[str, ...]:
        used = {name for title in titles for name in _PLACES.findall(title)}
        names = {part for name in used for part in name.split("|")}
        if unknown := sorted(names - PLACES):
            raise ValueError(f"{unknown[0]} is no place; there are {', '.join(sorted(PLACES))}")
        if not titles:
            raise ValueError("at least one title")
        return titles


class CorrelatePolicy(SuppressPolicy):
    """Times are ISO 8601 durations. Tables by anomaly type take globs as well; an exact name goes
    first, then the first glob that fits."""

    model_config = ConfigDict(extra="forbid")

    window: Window
    windows: dict[str, Window]
    states: tuple[str, ...]
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
    problems: ProblemRules
    suggested: SuggestedEdges
    escalate_devices: int = Field(ge=2)
    default_wording: Wording
    wording: dict[str, Wording]
    programs: dict[str, str] = Field(default_factory=dict)  # by name, in lower case

    @cached_property
    def window_of(self) -> Callable[[str], timedelta]:
        return _by_type(self.windows, lambda kind: self.window)

    @cached_property
    def is_state(self) -> Callable[[str], bool]:
        """Whether anomalies of a type last until they are cleared, unless they say otherwise."""
        return _by_type(dict.fromkeys(self.states, True), lambda kind: False)

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

    def is_generic(self, kind: str) -> bool:
        """Whether a type says so little that any other is named before it."""
        return self.wording_of(kind).generic

    @cached_property
    def program_of(self) -> Callable[[str], str]:
        """The plain word for a program; empty when none is known."""
        return _by_type(self.programs, lambda name: "")

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
    """Looks up an anomaly type: by its own name, else by the first glob that fits."""

    @lru_cache(TYPES_KEPT)
    def find(kind: str) -> T:
        if kind in table:
            return table[kind]
        return next((v for glob, v in table.items() if fnmatchcase(kind, glob)), default(kind))

    return find
