"""Whether the simulated faults became incidents, by ground truth and the API's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiops_cli.screen import dig
from aiops_lab.simulator.scenario import Event
from aiops_lab.simulator.truth import InjectedFault, TruthRole
from aiops_lab.simulator.voyage import Voyage

TELLING = {TruthRole.CAUSE, TruthRole.SYMPTOM}  # should become an anomaly and end in the incident
ShownIncident = Mapping[str, Any]  # as the API shows it


@dataclass(frozen=True)
class FaultVerdict:
    """One simulated fault: in which incidents its lines are, the one with most lines first."""

    episode: InjectedFault
    incidents: tuple[ShownIncident, ...]
    covered: int  # telling lines and readings that are in an incident
    of: int

    @property
    def hit(self) -> bool:
        return bool(self.incidents)

    @property
    def inferred(self) -> str | None:
        """The root cause that its main incident names."""
        device: str | None = dig(self.incidents[0], "root_cause", "device") if self.hit else None
        return device

    @property
    def root_found(self) -> bool:
        return self.inferred == self.episode.root_device


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
    incident_of: Mapping[str, ShownIncident],
) -> list[FaultVerdict]:
    """One verdict per fault; *incident_of* maps a tracking id to the incident that has it."""
    return [_verdict(episode, telling.get(episode.id, ()), incident_of) for episode in episodes]


def _verdict(
    episode: InjectedFault, ids: Sequence[str], incident_of: Mapping[str, ShownIncident]
) -> FaultVerdict:
    hits = [incident_of[id_] for id_ in ids if id_ in incident_of]
    by_id = {found["id"]: found for found in hits}
    lines = Counter(found["id"] for found in hits)
    ranked = tuple(by_id[id_] for id_, _ in lines.most_common())
    return FaultVerdict(episode, ranked, len(hits), len(ids))


def summary(verdicts: Sequence[FaultVerdict]) -> str:
    hits, roots = sum(v.hit for v in verdicts), sum(v.root_found for v in verdicts)
    return (
        f"{hits} of {len(verdicts)} simulated faults became incidents, "
        f"{roots} of them name the device that failed as root cause"
    )
