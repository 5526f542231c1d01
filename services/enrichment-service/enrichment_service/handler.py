"""One anomaly in, the same anomaly with context and severity out; no query, no waiting."""

from __future__ import annotations

from collections.abc import Sequence

from aiops_core.models import AnomalyDetected, EnrichedAnomaly
from aiops_core.runtime.received import Received
from enrichment_service.context import Memory
from enrichment_service.policy import SeverityRules
from enrichment_service.severity import judge


class Enricher:
    def __init__(self, memory: Memory, rules: SeverityRules) -> None:
        self._memory = memory
        self._rules = rules

    async def __call__(self, received: Received[AnomalyDetected]) -> Sequence[EnrichedAnomaly]:
        anomaly = self._memory.locate(received.message)  # on which device of the inventory
        context = self._memory.observe(anomaly)  # counts it, once for each anomaly_id
        severity, reason, tags = judge(anomaly, context, self._rules)
        return [
            EnrichedAnomaly.of_valid(  # all fields come from valid messages: no second check
                anomaly, severity=severity, context=context, severity_reason=reason, tags=tags
            )
        ]
