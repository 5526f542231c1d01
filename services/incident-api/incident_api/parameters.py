"""Parameters that routes share: the parts of the service, and spans of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Request

from aiops_core.observability.probe import Readiness
from aiops_core.policy.spread import SpreadRules
from aiops_core.runtime.service import utc_now
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.utils import span_of
from incident_api.devices.commands import DeviceCommands
from incident_api.devices.suggestions import SuggestionCommands
from incident_api.digest.queries import DigestQueries
from incident_api.incidents.commands import IncidentCommands
from incident_api.incidents.reader import IncidentReader
from incident_api.ledger.auditor import Auditor
from incident_api.policy import SloPolicy
from incident_api.problems import Problem
from incident_api.recorder import Recorder
from incident_api.recurrence.commands import ProblemCommands
from incident_api.recurrence.store import ProblemStore
from incident_api.ship.commands import ShipCommands
from incident_api.silences.repository import SilenceRepository
from incident_api.stats.queries import StatsQueries
from incident_api.store import IncidentStore
from incident_api.trace.queries import TraceQueries


@dataclass(frozen=True)
class Components:
    recorder: Recorder
    store: IncidentStore
    incidents: IncidentCommands
    problem_store: ProblemStore
    problems: ProblemCommands
    stats: StatsQueries
    traces: TraceQueries
    auditor: Auditor
    digest: DigestQueries
    devices: DeviceCommands
    suggestions: SuggestionCommands
    ship: ShipCommands
    silences: SilenceRepository
    suppress: SuppressPolicy
    slo: SloPolicy
    readiness: Readiness
    tokens: dict[str, str]
    spread: SpreadRules
    clock: Callable[[], datetime] = utc_now

    @property
    def reader(self) -> IncidentReader:
        return IncidentReader(self.store, self.recorder, self.spread.devices)


def _components(request: Request) -> Components:
    components: Components = request.app.state.components
    return components


Api = Annotated[Components, Depends(_components)]


LONGEST = timedelta(days=366)


def parse_span(text: str, name: str = "query.time_range") -> timedelta:
    """``15m``, ``1h``, ``7d`` as a span; Problem 422 about *name* for anything else."""
    span = span_of(text)
    if span is None or span > LONGEST:
        raise Problem(422, f"{name}: expected a span like 15m, 1h, 24h or 7d, up to 366d")
    return span


Since = Annotated[
    str,
    Query(
        description="A span up to now (15m, 1h, 24h, 7d), or a time with its zone: of when"
        " something reached the platform, whatever time its log lines state.",
        examples=["1h", "2026-06-01T12:00:00Z"],
    ),
]


def parse_since(text: str, now: datetime) -> datetime:
    """The beginning of the ledger; Problem 422 for neither a span nor a past time."""
    if span_of(text):
        return now - parse_span(text)
    moment = _moment(text)
    if moment is None or not now - LONGEST <= moment <= now:
        raise Problem(
            422,
            "query.since: expected a span like 1h or 7d, or a past time with its zone"
            " like 2026-06-01T12:00:00Z, at most 366 days back",
        )
    return moment


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
