"""Suppression: rules of the policy, silences, known outages, inhibition, in this order. Pure.

Anomalies that ``never_suppress`` names are not suppressed, except that a known outage may hide a
severity that it names, as far as the policy of outages allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiops_core.fingerprints import compute_fingerprint
from aiops_core.models import AnomalySuppressed, EnrichedAnomaly, HiddenBy
from aiops_core.suppression.policy import SuppressRule
from correlation_service.inhibition import Inhibitions
from correlation_service.matching import Matching
from correlation_service.outages import KnownOutages
from correlation_service.policy import CorrelatePolicy
from correlation_service.silences import Silences


@dataclass(frozen=True, slots=True)
class Suppressor:
    """The reason to suppress an anomaly: *by* is its id, *source* an incident or window."""

    kind: HiddenBy
    by: str
    reason: str
    source: str | None = None

    def fact(self, anomaly: EnrichedAnomaly) -> AnomalySuppressed:
        return anomaly.derive(
            AnomalySuppressed,
            anomaly_id=anomaly.anomaly_id,
            by=self.by,
            kind=self.kind,
            reason=self.reason,
            source=self.source,
            fingerprint=compute_fingerprint(anomaly),
            device_id=anomaly.device_id,
            service=anomaly.service,
            anomaly_type=anomaly.anomaly_type,
        )


class Suppression:
    """*silences* and *outages* are declared from outside; *inhibitions* are part of the state."""

    def __init__(self, policy: CorrelatePolicy, inhibitions: Inhibitions) -> None:
        self.silences = Silences()
        self.outages = KnownOutages(policy.outages)
        self.inhibitions = inhibitions
        self._rules = [(rule, Matching.of(rule.match)) for rule in policy.suppress]
        self._never = policy.never_suppress

    def decide(self, anomaly: EnrichedAnomaly) -> Suppressor | None:
        """The first that hides *anomaly*, None when it may become an incident."""
        if anomaly.anomaly_type in self._never.anomaly_types:
            return None
        if anomaly.severity in self._never.severities:
            return self._outage(anomaly)
        return (
            self._rule(anomaly)
            or self._silence(anomaly)
            or self._outage(anomaly)
            or self._inhibition(anomaly)
        )

    def _rule(self, anomaly: EnrichedAnomaly) -> Suppressor | None:
        for rule, matching in self._rules:
            if matching.fits(anomaly):
                return _hidden_by(rule, anomaly)
        return None

    def _silence(self, anomaly: EnrichedAnomaly) -> Suppressor | None:
        silence = self.silences.hiding(anomaly)
        if silence is None:
            return None
        return Suppressor("silence", silence.id, f"{silence.comment} ({silence.created_by})")

    def _outage(self, anomaly: EnrichedAnomaly) -> Suppressor | None:
        outage = self.outages.hiding(anomaly)
        if outage is None:
            return None
        words = f"{outage.device_id}: {outage.kind.replace('_', ' ')}, {outage.reason} ({outage.source})"
        return Suppressor("outage", outage.id, words)

    def _inhibition(self, anomaly: EnrichedAnomaly) -> Suppressor | None:
        found = self.inhibitions.hiding(anomaly)
        if found is None:
            return None
        rule, source = found
        kind = source.name.anomaly_type.replace("_", " ")
        words = f"{rule.reason}: {kind} on {source.name.device} since {source.first:%H:%M:%S} UTC"
        return Suppressor("inhibition", rule.id, words, source.incident_id)


def _hidden_by(rule: SuppressRule, anomaly: EnrichedAnomaly) -> Suppressor:
    window = anomaly.context.maintenance
    if rule.match.maintenance and window:
        reason = f"{rule.reason}: {window.reason} ({window.owner})"
        return Suppressor("maintenance", rule.id, reason, window.id)
    return Suppressor("rule", rule.id, rule.reason)
