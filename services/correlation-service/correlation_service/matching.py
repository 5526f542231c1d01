"""Compares an anomaly with the traits of a policy rule. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate

from aiops_core.models import Anomaly, Domain, EnrichedAnomaly, Evidence, Severity
from aiops_core.suppression.policy import AnomalyMatch, Traits

GLOBS = {  # trait -> attribute of an anomaly, whose host stands in for an unknown device
    "anomaly_type": "anomaly_type",
    "service": "service",
    "device_id": "device",
    "msg": "msg",
}


@dataclass(frozen=True)
class Matching:
    """Traits with their globs as regular expressions; those that match everything are left out."""

    severities: tuple[Severity, ...]
    domain: Domain | None
    maintenance: bool | None
    globs: Sequence[tuple[str, re.Pattern[str]]]

    @classmethod
    def of(cls, traits: Traits) -> Matching:
        given = [(attribute, getattr(traits, name, "*")) for name, attribute in GLOBS.items()]
        globs = [(attribute, compiled(glob)) for attribute, glob in given if glob != "*"]
        maintenance = traits.maintenance if isinstance(traits, AnomalyMatch) else None
        return cls(tuple(_between(traits)), traits.domain, maintenance, globs)

    def fits(self, anomaly: Anomaly | Evidence) -> bool:
        if self.maintenance is not None and self.maintenance is not is_maintained(anomaly):
            return False
        if anomaly.severity not in self.severities:
            return False
        if self.domain is not None and anomaly.domain != self.domain:
            return False
        return all(glob.match(getattr(anomaly, name)) for name, glob in self.globs)


def _between(traits: Traits) -> Iterator[Severity]:
    for severity in Severity:
        if traits.severity_at_least <= severity <= traits.severity_at_most:
            yield severity


def compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob), re.IGNORECASE)


def is_maintained(anomaly: Anomaly | Evidence) -> bool:
    """Whether its device was under maintenance, according to enrichment."""
    return isinstance(anomaly, EnrichedAnomaly) and anomaly.context.maintenance is not None
