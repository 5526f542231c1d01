"""The readings and limits of ``readings.yaml``.

``LIMITS`` is the table that ``policies/detect.yaml`` can copy: a reading beyond ``value`` for
``hold`` seconds is a fault. Normal readings keep at least a quarter of the way to the limit in
reserve; faults go clearly past it. Names are the same on every device, so one limit per name is
enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiops_core.models import Domain, Severity
from aiops_lab.simulator.templates import data_file

HOLD = 4.0  # s: two readings in a row at the usual interval of 5 s
COUNTED = frozenset({"ports", "sats", "mails"})  # units that come in whole numbers


@dataclass(frozen=True, slots=True)
class ReadingLimit:
    """A reading that stays ``op`` ``value`` for ``hold`` seconds is a fault."""

    metric: str
    op: Literal[">", "<"]
    value: float
    unit: str
    domain: Domain
    severity: Severity
    hold: float = HOLD

    def broken_by(self, reading: float) -> bool:
        return reading > self.value if self.op == ">" else reading < self.value


@dataclass(frozen=True, slots=True)
class Gauge:
    """A normal metric: mean, daily swing, spread between sisters, noise (one sigma)."""

    metric: str
    mean: float
    noise: float
    swing: float
    spread: float


_TABLES = data_file("readings.yaml")


def _limit(row: str) -> ReadingLimit:
    metric, op, value, unit, domain, severity = row.split()
    comparison: Literal[">", "<"] = ">" if op == ">" else "<"
    return ReadingLimit(metric, comparison, float(value), unit, Domain(domain), Severity(severity))


def _gauge(row: str) -> Gauge:
    metric, *numbers = row.split()
    return Gauge(metric, *map(float, numbers))


LIMITS: Mapping[str, ReadingLimit] = {
    limit.metric: limit for limit in map(_limit, _TABLES["limits"].splitlines())
}
GAUGES: Mapping[str, tuple[Gauge, ...]] = {
    kind: tuple(map(_gauge, rows.splitlines())) for kind, rows in _TABLES["gauges"].items()
}
