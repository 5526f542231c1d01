"""Whether the simulated faults became incidents, by ground truth and the API's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiops_lab.simulator import Event, InjectedFault, TruthRole, Voyage

TELLING = {
    TruthRole.CAUSE,
    TruthRole.SYMPTOM,
}  # what should become an anomaly and end in the incident


@dataclass(frozen=True)
class Found:
    """An incident as the API shows it, as far as the verdict needs it."""

    id: str
    title: str
    severity: str
    root_device: str | None


@dataclass(frozen=True)
class FaultVerdict:
    """One simulated fault: in which incidents its lines are, the one with most lines first."""

    episode: InjectedFault
    incidents: tuple[Found, ...]
    covered: int  # telling lines and readings that are in an incident
    of: int

    @property
    def hit(self) -> bool:
        return bool(self.incidents)

    @property
    def root_found(self) -> bool:
        """Whether its main incident blames the device that really failed."""
        return self.hit and self.incidents[0].root_device == self.episode.root_device


def telling_ids(events: Iterable[Event], run: Voyage) -> dict[str, list[str]]:
    """Episode id -> tracking ids of its causes and symptoms, in order."""
    ids: dict[str, list[str]] = {}
    for event in events:
        if event.truth and event.truth.episode and event.truth.role in TELLING:
            ids.setdefault(event.truth.episode, []).append(run.tracking_id(event))
    return ids


def judge(
    episodes: Sequence[InjectedFault],
    telling: Mapping[str, Sequence[str]],
    incident_of: Mapping[str, Found],
) -> list[FaultVerdict]:
    """One verdict per fault; *incident_of* maps a tracking id to the incident that has it."""
    return [_verdict(episode, telling.get(episode.id, ()), incident_of) for episode in episodes]


def _verdict(
    episode: InjectedFault, ids: Sequence[str], incident_of: Mapping[str, Found]
) -> FaultVerdict:
    hits = [incident_of[id_] for id_ in ids if id_ in incident_of]
    lines: dict[str, int] = {}
    for found in hits:
        lines[found.id] = lines.get(found.id, 0) + 1
    by_id = {found.id: found for found in hits}
    ranked = sorted(by_id.values(), key=lambda found: -lines[found.id])
    return FaultVerdict(episode, tuple(ranked), len(hits), len(ids))


def misses(verdicts: Iterable[FaultVerdict]) -> list[str]:
    """A line for each fault that no incident tells."""
    return [
        f"missed: {v.episode.id} ({v.episode.title}): none of its {v.of} lines is in an incident"
        for v in verdicts
        if not v.hit
    ]
