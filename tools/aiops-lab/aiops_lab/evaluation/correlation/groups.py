"""What the correlator makes of a run, as whoever reads its facts sees it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiops_core.models import AnomalySuppressed, Incident, IncidentUpdated, Message


@dataclass
class Groups:
    """Anomaly -> incident, and incident -> device that is blamed and title, as told last."""

    place: dict[str, str | None] = field(default_factory=dict)
    blamed: dict[str, str | None] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def read(self, facts: Iterable[Message]) -> None:
        for fact in facts:
            match fact:
                case Incident():
                    self._read(fact.id, fact)
                    self.place |= {member.anomaly_id: fact.id for member in fact.evidence}
                case IncidentUpdated():
                    self._read(fact.incident_id, fact)
                    self.place |= {member.anomaly_id: fact.incident_id for member in fact.members}
                case AnomalySuppressed():
                    self.place[fact.anomaly_id] = None

    def _read(self, incident: str, fact: Incident | IncidentUpdated) -> None:
        if fact.root_cause:
            self.blamed[incident] = fact.root_cause.device
        if fact.title:
            self.titles[incident] = fact.title
