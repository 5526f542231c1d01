"""What a person is told about one log: incidents, and the items that they make. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiops_core.models import EnrichedAnomaly
from aiops_core.spreads import title_over, wide_spreads
from aiops_lab.evaluation.signal.vague import is_vague, without_counts, without_name


@dataclass(frozen=True, slots=True)
class ToldIncident:
    """An incident as it stood in the end, the problem of which it is an occurrence, and the spread
    that this is of. *root* is the anomaly at its root, else its first."""

    id: str
    problem_id: str
    title: str
    device: str
    root: EnrichedAnomaly
    members: Sequence[EnrichedAnomaly]  # in the order in which they happened
    spread: str = ""

    @property
    def vague(self) -> bool:
        """Whether the title says nothing but who: device, program, and the other side."""
        title = without_name(self.title, self.peer) if self.peer else self.title
        programs = {member.service for member in self.members}
        return any(is_vague(title, self.device, program) for program in programs)

    @property
    def peer(self) -> str:
        """The other side, of an attack for instance."""
        return str(self.root.meta.get("peer") or "")

    @property
    def maker(self) -> str:
        """The rule, or the detector, that made the anomaly at the root."""
        return str(self.root.meta.get("rule") or f"{self.root.detector}: {self.root.anomaly_type}")


@dataclass(frozen=True, slots=True)
class ToldItem:
    """What lies before a person as one thing: an incident, all occurrences of one problem, or all
    problems of one spread."""

    incidents: Sequence[ToldIncident]

    @property
    def title(self) -> str:
        """That of its newest incident, or that of the spread."""
        if not self.is_spread:
            return self.incidents[-1].title
        devices = {one.device for one in self.incidents}
        titles = [one.title for one in reversed(self.incidents)]
        return title_over(titles, devices, len(devices))

    @property
    def is_spread(self) -> bool:
        return len({one.problem_id for one in self.incidents}) > 1

    @property
    def vague(self) -> int:
        """How many of its titles say nothing but who, that of the spread among them."""
        told = sum(one.vague for one in self.incidents)
        return told + (self.is_spread and is_vague(self.title))


def items(incidents: Sequence[ToldIncident], least: int) -> list[ToldItem]:
    """*incidents* in the order in which they were opened, those of one problem as one item, and so
    the problems of one spread, if that is on *least* devices or more."""
    wide = wide_spreads(((one.spread, one.device) for one in incidents), least)
    newest = {one.problem_id: one.spread for one in incidents}
    groups: dict[str, list[ToldIncident]] = {}
    for incident in incidents:
        problem = incident.problem_id
        item = newest[problem] if newest[problem] in wide else problem
        groups.setdefault(item, []).append(incident)
    return [ToldItem(tuple(group)) for group in groups.values()]


def told_again(items: Iterable[ToldItem]) -> int:
    """How many have the title of an earlier one on the same device, counts and times aside."""
    first = [item.incidents[0] for item in items]
    told = [(without_counts(one.title), one.device) for one in first]
    return len(told) - len(set(told))


@dataclass(frozen=True, slots=True)
class ShownLine:
    """Which *faults* of the truth a line shows, and the device that it was read to be of."""

    device: str
    faults: frozenset[str]


@dataclass(frozen=True, slots=True)
class ToldLog:
    """One log with numbers of its *lines* that were read, of *refused* ones and of *anomalies*.

    *shown*: the lines about which the truth says something, by tracking id. *least*: on so many
    devices a spread is one item.
    """

    name: str
    lines: int
    refused: int
    anomalies: int
    incidents: Sequence[ToldIncident]
    shown: Mapping[str, ShownLine] = field(default_factory=dict)
    least: int = 3
