"""Hours and weeks of a ship on which troubles come back, with the ticks of the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiops_core.models import (
    BY_SUBJECT,
    EnrichedAnomaly,
    Incident,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    ProblemEdited,
)
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy
from correlation_service.problem import KnownProblem
from tests.conftest import NOON
from tests.correlation_cases import POLICY

TICK = timedelta(minutes=2)


@dataclass
class Ship:
    """A correlator that lives, and all that is in the stream because of it."""

    policy: CorrelatePolicy = POLICY
    correlator: Correlator = field(init=False)
    now: datetime = NOON
    stream: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.correlator = Correlator(self.policy)

    @property
    def problems(self) -> list[KnownProblem]:
        return list(self.correlator.state.problems.table)

    def says(self, *messages: Message) -> list[Message]:
        """The facts that *messages* cause, each at its own time."""
        facts: list[Message] = []
        for message in messages:
            facts += self.waits(message.ts)
            if not isinstance(message, EnrichedAnomaly):
                self.stream.append(message)
            own = list(self.correlator.handle(message))
            self.stream += own
            facts += own
        return facts

    def waits(self, until: datetime) -> list[Message]:
        """The facts that the passing of time causes."""
        facts: list[Message] = []
        while self.now < until:
            self.now = min(self.now + TICK, until)
            facts += self.correlator.expire(self.now)
        self.stream += facts
        return facts

    def after(self, **time: float) -> list[Message]:
        return self.waits(self.now + timedelta(**time))

    def is_killed(self, saved: Iterable[KnownProblem] = (), since: datetime | None = None) -> None:
        """Another process reads the problems that were *saved*, then the stream."""
        self.correlator = Correlator(self.policy)
        for one in saved:
            again = KnownProblem.model_validate_json(one.model_dump_json())
            self.correlator.state.problems.table.put(again)
        for fact in self.stream:
            if since is None or fact.ts >= since:
                read = BY_SUBJECT[fact.subject].model_validate_json(fact.model_dump_json())
                self.correlator.evolve(read)


def announced(facts: Iterable[Message]) -> list[Incident | IncidentUpdated]:
    return [one for one in facts if isinstance(one, Incident | IncidentUpdated) and one.announce]


def by_person(
    incident_id: str,
    kind: str = "resolve",
    to: str = "resolved",
    at: datetime = NOON,
    change: int = 1,
    **fields: object,
) -> IncidentTransitioned:
    """The mate changes an incident."""
    return IncidentTransitioned(
        tracking_id=f"{incident_id}/{change}",
        ship_id="s1",
        ts=at,
        incident_id=incident_id,
        change=change,
        kind=kind,
        from_status="open",
        to_status=to,
        actor="mate",
        **fields,
    )


def edited(problem_id: str, kind: str, at: datetime = NOON, **fields: object) -> ProblemEdited:
    return ProblemEdited(
        **{
            "tracking_id": problem_id,
            "ship_id": "s1",
            "ts": at,
            "problem_id": problem_id,
            "change": 1,
            "kind": kind,
            "actor": "mate",
        }
        | fields
    )
