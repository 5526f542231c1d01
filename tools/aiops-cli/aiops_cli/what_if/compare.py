"""Pure: two outcomes for the same anomalies, and how they differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiops_cli.what_if.replay import Group, Outcome


@dataclass(frozen=True)
class Seen:
    """An incident, as a line of the report."""

    id: str
    title: str
    severity: str
    category: str
    first_seen: str
    anomalies: int


@dataclass(frozen=True)
class Regrouped:
    """Several incidents become one (merged), or one becomes several (split)."""

    one: Seen
    several: Sequence[Seen]


@dataclass(frozen=True)
class Changed:
    """The same incident with another face; *differs* names what is not as before."""

    before: Seen
    after: Seen
    differs: Sequence[str]


@dataclass(frozen=True)
class Diff:
    """*lost* and *gained* are incidents none of whose anomalies make an incident on the other side.

    *hidden* and *shown* count anomalies by the rule that hides them from now on, or no longer.
    """

    anomalies: int
    before: int
    after: int
    same: int
    gained: Sequence[Seen]
    lost: Sequence[Seen]
    merged: Sequence[Regrouped]
    split: Sequence[Regrouped]
    changed: Sequence[Changed]
    hidden: Mapping[str, int]
    shown: Mapping[str, int]

    @property
    def empty(self) -> bool:
        lists = (self.gained, self.lost, self.merged, self.split, self.changed)
        return not any((*lists, self.hidden, self.shown))


def compare(before: Outcome, after: Outcome) -> Diff:
    """What *after* makes of the anomalies that *before* knew. Lists begin with the largest."""
    forward, back = _links(before, after), _links(after, before)
    pairs = [
        (before.incidents[old], after.incidents[new])
        for old, news in forward.items()
        for new in news
        if len(news) == 1 == len(back[new])
    ]
    changed = [c for old, new in pairs if (c := _changed(old, new)).differs]
    return Diff(
        anomalies=len(before.place) + len(before.suppressed),
        before=len(before.incidents),
        after=len(after.incidents),
        same=len(pairs) - len(changed),
        gained=_largest(g for id_, g in after.incidents.items() if not back.get(id_)),
        lost=_largest(g for id_, g in before.incidents.items() if not forward.get(id_)),
        merged=_regrouped(back, after, before),
        split=_regrouped(forward, before, after),
        changed=sorted(changed, key=lambda c: (-c.after.anomalies, c.after.id)),
        hidden=_only_in(after.suppressed, before.suppressed),
        shown=_only_in(before.suppressed, after.suppressed),
    )


def _links(one: Outcome, other: Outcome) -> dict[str, set[str]]:
    """Incident of *one* -> the incidents of *other* that have an anomaly of it."""
    links: defaultdict[str, set[str]] = defaultdict(set)
    for anomaly_id, incident_id in one.place.items():
        if (there := other.place.get(anomaly_id)) is not None:
            links[incident_id].add(there)
    return links


def _regrouped(links: Mapping[str, set[str]], ones: Outcome, others: Outcome) -> list[Regrouped]:
    found = [
        Regrouped(_seen(ones.incidents[one]), _largest(others.incidents[o] for o in several))
        for one, several in links.items()
        if len(several) > 1
    ]
    return sorted(found, key=lambda r: (-r.one.anomalies, r.one.id))


def _changed(old: Group, new: Group) -> Changed:
    differs = [
        name
        for name in ("severity", "title", "category")
        if getattr(old, name) != getattr(new, name)
    ]
    if old.members != new.members:
        differs.append("anomalies")
    return Changed(_seen(old), _seen(new), differs)


def _seen(group: Group) -> Seen:
    first = group.first_seen.isoformat()
    severity = group.severity.value
    return Seen(group.id, group.title, severity, group.category, first, len(group.members))


def _largest(groups: Iterable[Group]) -> list[Seen]:
    return sorted(map(_seen, groups), key=lambda s: (-s.anomalies, s.first_seen, s.id))


def _only_in(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, int]:
    """Anomalies that only *one* hides, by rule; the most frequent rule first."""
    counted = Counter(rule for anomaly_id, rule in one.items() if anomaly_id not in other)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
