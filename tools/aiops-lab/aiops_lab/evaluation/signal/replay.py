"""One log file through the decisions of production, in memory.

It is read as ``aiops replay`` reads it. Detection, enrichment and correlation know nothing before
its first line, and time passes by the clock of its lines: a line arrives when it says that it
happened, but never before an earlier one. Lines without a time are of now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from aiops_cli.ingest.files import RefusedLine
from aiops_cli.ingest.lines import AcceptedLine, LineOrigin, outcomes
from aiops_cli.what_if.replay import TICK, Group, Outcome
from aiops_core.errors import Misconfigured
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyDetected,
    EnrichedAnomaly,
    Incident,
    IncidentUpdated,
    LogEntry,
    Message,
    MetricSample,
    Recurrence,
)
from aiops_core.suppression.ship import Ship
from aiops_lab.evaluation.signal.told import ShownLine, ToldIncident, ToldLog
from anomaly_detection.detection import Detection, raising
from anomaly_detection.detectors.base import device_of
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.reading import EntryReader
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy
from enrichment_service.context import LOOKUPS, Memory
from enrichment_service.policy import EnrichPolicy
from enrichment_service.severity import judge

Shows = Callable[[str], frozenset[str]]

SHIP, HOST = "ship", "origin-1"  # of lines that name none


@dataclass(frozen=True)
class JudgingPolicies:
    """The policies of the three services that judge a line."""

    detect: DetectPolicy
    enrich: EnrichPolicy
    correlate: CorrelatePolicy

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises Misconfigured with file, line and key of each mistake."""
        return cls(
            DetectPolicy.load(folder), EnrichPolicy.load(folder), CorrelatePolicy.load(folder)
        )


def replay(
    path: Path, policies: JudgingPolicies, now: datetime, shows: Shows = lambda line: frozenset()
) -> ToldLog:
    """What a person is told of the log *path*, read at *now*; *shows* names the faults that a line
    shows. Raises Misconfigured if none of its lines can be read."""
    way, shown, lines = LogWay(policies), dict[str, ShownLine](), 0
    refused: list[RefusedLine] = []
    for line in outcomes(path, LineOrigin.of(path, SHIP, HOST), lambda: now):
        if isinstance(line, RefusedLine):
            refused.append(line)
        elif isinstance(line, AcceptedLine):
            lines += 1
            faults = shows(line.raw)
            for entry in line.entries:
                read = way.pass_on(entry)
                if faults:
                    shown[entry.tracking_id] = ShownLine(device_of(read), faults)
    if not lines:
        raise Misconfigured(str(refused[0]) if refused else f"{path}: has no line")
    way.end()
    name = f"{path.absolute().parent.name}/{path.name}"
    least = policies.correlate.problems.spread.devices
    return ToldLog(name, lines, len(refused), len(way.anomalies), way.told(), shown, least)


class LogWay:
    """The way of lines through the services, and the *anomalies* by their ids.

    *inventory* and *ship* are what the ship declares; *heard* gets every fact about an incident.
    """

    def __init__(
        self,
        policies: JudgingPolicies,
        inventory: Inventory | None = None,
        ship: Ship | None = None,
        heard: Callable[[Message], None] = lambda fact: None,
    ) -> None:
        self.anomalies: dict[str, EnrichedAnomaly] = {}
        self._policies, self._outcome, self._heard = policies, Outcome(), heard
        detect = policies.detect
        self._reader = EntryReader(detect.series_kept, detect.own_domains, raising)
        self._detection = Detection(detect)
        self._memory = Memory(policies.enrich.health)
        for lookup in LOOKUPS:
            self._memory.found(lookup)  # a ship without a past: nothing is missing
        self._correlator = Correlator(policies.correlate)
        if inventory:
            self._memory.inventory = inventory
            self._correlator.use(inventory)
        if ship:
            self._memory.ship = ship
            self._correlator.suppression.outages.replace(ship.outages)
        self._roots: dict[str, str] = {}  # incident -> anomaly at its root
        self._occurrences: dict[str, Recurrence] = {}  # of each incident the newest
        self._clock: datetime | None = None
        self._ticked: datetime | None = None

    def pass_on(self, entry: LogEntry | MetricSample) -> LogEntry | MetricSample:
        """What comes of *entry*; returns it as it is read."""
        entry = self._reader.read(entry)
        self._clock = clock = max(self._clock or entry.ts, entry.ts)
        if self._ticked is None or clock - self._ticked >= TICK:
            self._tick(clock)
        self._correlate(self._detection.observe(entry.but(stages={"ingest": clock})))
        return entry

    def give(self, found: AnomalyDetected) -> None:
        """An anomaly that detection did not find."""
        self._correlate([found])

    def wait(self, seconds: float) -> None:
        """Let time pass after the newest line."""
        if self._clock:
            self._tick(self._clock + timedelta(seconds=seconds))

    def end(self) -> None:
        """Let pass what is needed until nothing more can join."""
        if self._clock:
            self._tick(self._clock + self._policies.correlate.longest_memory + timedelta(days=1))

    def _tick(self, now: datetime) -> None:
        self._ticked = now
        self._correlate(told.message for told in self._detection.tick(now))
        self._learn(self._correlator.expire(now))

    def _correlate(self, found: Iterable[Message]) -> None:
        for message in found:
            if isinstance(message, AnomalyDetected):
                message = self._enriched(message)
                self.anomalies[message.anomaly_id] = message
            self._learn(self._correlator.handle(message))

    def _enriched(self, found: AnomalyDetected) -> EnrichedAnomaly:
        anomaly = self._memory.locate(found)
        context = self._memory.observe(anomaly)
        severity, reason, tags = judge(anomaly, context, self._policies.enrich.severity)
        return EnrichedAnomaly.of_valid(
            anomaly, severity=severity, context=context, severity_reason=reason, tags=tags
        )

    def _learn(self, facts: Iterable[Message]) -> None:
        for fact in facts:
            self._outcome.learn(fact)
            self._heard(fact)
            if isinstance(fact, Incident | IncidentUpdated) and fact.recurrence:
                id_ = fact.id if isinstance(fact, Incident) else fact.incident_id
                self._occurrences[id_] = fact.recurrence
            match fact:
                case (
                    Incident(id=id_, root_cause=root)
                    | IncidentUpdated(incident_id=id_, root_cause=root)
                ) if root and root.anomaly:
                    self._roots[id_] = root.anomaly

    def told(self) -> list[ToldIncident]:
        """The incidents in the order in which they were opened."""
        return [self._told(group) for group in self._outcome.incidents.values()]

    def _told(self, group: Group) -> ToldIncident:
        members = sorted(
            (self.anomalies[id_] for id_ in group.members), key=lambda one: (one.ts, one.anomaly_id)
        )
        root = self.anomalies[self._roots.get(group.id, members[0].anomaly_id)]
        device = group.root or root.device
        said = self._occurrences[group.id]
        return ToldIncident(
            group.id, said.problem_id, group.title, device, root, members, said.spread
        )
