"""An incident as rules look at it: its members and what is known around it, in one form. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeVar

from aiops_core.models import Domain, Evidence, Incident, Severity
from llm_enricher.question import ContextFact, Question

READ_MOST = 500  # characters of a text that are searched: this bounds backtracking
MEMBERS_READ = 16  # kinds of members; an incident of more has these at its root, or worst
T = TypeVar("T")
BEGINS = timedelta(seconds=30)  # what is told so soon after the first member may be its cause
MEMBER: Literal["member"] = "member"


@dataclass(frozen=True, slots=True)
class Item:
    """A member of the incident, or a fact around it. *kind* is ``member``, that of the fact,
    or ``written`` for what a person reported."""

    id: str
    kind: str
    ts: datetime
    device: str
    service: str
    text: str
    fine: bool = False
    type: str = ""
    domain: Domain | None = None
    severity: Severity = Severity.LOW
    count: int = 1
    cleared: bool = False
    component: str = ""
    peer: str = ""
    metric: str = ""
    upstream: tuple[str, ...] = ()

    @property
    def is_member(self) -> bool:
        return self.kind == MEMBER


@dataclass(frozen=True)
class IncidentCase:
    """All that is known; *members* by weight: those at the root first, then worst and earliest."""

    incident: Incident
    members: Sequence[Item]
    context: Sequence[Item]
    missing: Sequence[str] = ()

    @classmethod
    def of(cls, question: Question) -> IncidentCase:
        members = sorted(_members(question), key=lambda item: _weight(question.incident, item))
        members = members or [_written(question.incident)]
        context = tuple(_fact(fact) for fact in question.context)
        return cls(question.incident, tuple(members[:MEMBERS_READ]), context, question.missing)

    @property
    def items(self) -> Iterator[Item]:
        yield from self.members
        yield from self.context

    def once(self, asker: object, made: Callable[[], list[T]]) -> list[T]:
        """What *made* gives for *asker*, made once: many members ask the same of the same facts."""
        if id(asker) not in self._made:
            self._made[id(asker)] = asker, made()  # kept, so that no other gets its id
        return self._made[id(asker)][1]

    @cached_property
    def _made(self) -> dict[int, tuple[object, list[Any]]]:
        return {}

    @property
    def root_device(self) -> str:
        root = self.incident.root_cause
        return (root.device if root else None) or ""

    def at_root(self, item: Item) -> bool:
        """Whether *item* is the anomaly that correlation takes for the origin."""
        root = self.incident.root_cause
        return bool(root and root.anomaly and root.anomaly == item.id)

    @cached_property
    def worst(self) -> Sequence[Item]:
        """Members that have not recovered; all of them if all have."""
        return [item for item in self.members if not item.cleared] or self.members

    @cached_property
    def suspects(self) -> Sequence[Item]:
        """Lines around it that are not fine, and not later than its beginning."""
        until = self.incident.first_seen + BEGINS
        return [
            item
            for item in self.context
            if item.kind in ("line", "neighbour", "change") and not item.fine and item.ts <= until
        ]


def _weight(incident: Incident, item: Item) -> tuple[bool, bool, bool, int, datetime]:
    root = incident.root_cause
    origin = root is not None and item.id == root.anomaly
    on_origin = root is not None and item.device == root.device
    return not origin, not on_origin, item.cleared, -item.severity.rank, item.ts


def _members(question: Question) -> Iterator[Item]:
    """One item for each kind and text; the newest of a kind stands for its count."""
    counts = {kind.newest.anomaly_id: kind for kind in question.kinds}
    cleared = {
        (kind.device, kind.service, kind.anomaly_type) for kind in question.kinds if kind.cleared
    }
    seen: set[tuple[str, ...]] = set()
    for evidence in _newest_first(question):
        key = (evidence.device, evidence.service, evidence.anomaly_type, evidence.msg)
        if key in seen:
            continue
        seen.add(key)
        kind = counts.get(evidence.anomaly_id)
        yield _member(evidence, kind.count if kind else 1, key[:3] in cleared)


def _newest_first(question: Question) -> Iterable[Evidence]:
    """The evidence at the root, the newest of each kind, then all others."""
    root = question.incident.root_cause
    origin = root.anomaly if root else None
    everything = {evidence.anomaly_id: evidence for evidence in question.incident.evidence}
    newest = {kind.newest.anomaly_id: kind.newest for kind in question.kinds}
    first = {origin: everything[origin]} if origin in everything else {}
    return {**first, **newest, **everything}.values()


def _member(evidence: Evidence, count: int, cleared: bool) -> Item:
    return Item(
        evidence.anomaly_id,
        MEMBER,
        evidence.ts,
        evidence.device,
        "" if evidence.service == "unknown" else evidence.service,
        evidence.msg[:READ_MOST],
        type=evidence.anomaly_type,
        domain=evidence.domain,
        severity=evidence.severity,
        count=count,
        cleared=cleared,
        component=evidence.component,
        peer=evidence.peer,
        metric=evidence.metric,
        upstream=evidence.upstream,
    )


def _written(incident: Incident) -> Item:
    """What a person wrote of an incident that has no members; it is of no type."""
    root = incident.root_cause
    device = (root.device if root else None) or next(iter(incident.affected_devices), "")
    text = f"{incident.title}\n{incident.description}"[:READ_MOST]
    return Item(
        incident.id,
        "written",
        incident.first_seen,
        device,
        next(iter(incident.affected_services), ""),
        text,
        domain=incident.domain,
        severity=incident.severity,
    )


def _fact(fact: ContextFact) -> Item:
    text = fact.text[:READ_MOST]
    return Item(fact.id, fact.kind, fact.ts, fact.device, fact.service, text, fact.fine)
