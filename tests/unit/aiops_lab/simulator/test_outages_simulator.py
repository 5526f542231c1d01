"""The simulated ship while an outage of its satellite link is known: what is hidden, and what is
not."""

from collections import Counter
from datetime import timedelta

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyCleared,
    AnomalyContext,
    AnomalyDetected,
    AnomalySuppressed,
    EnrichedAnomaly,
    Severity,
)
from aiops_core.suppression.ship import LinkOutage
from aiops_lab.simulator.inventory import SHIP
from aiops_lab.simulator.scenario import named
from correlation_service.correlator import Correlator
from tests.unit.aiops_lab.simulator.test_detection_simulator import START, watched
from tests.unit.correlation_service.test_correlation import POLICY

OUTAGE = LinkOutage(
    id="o1",
    device_id="vsat-ant-01",
    kind="blocked_sector",
    reason="mast astern",
    source="acu-01",
    start=START,
    end=START + timedelta(hours=2),
)


def enriched(found, device):
    """As enrichment makes it: a critical device raises what is high."""
    severity = found.severity
    if device.criticality is Severity.CRITICAL and severity is Severity.HIGH:
        severity = Severity.CRITICAL
    fields = {name: getattr(found, name) for name in AnomalyDetected.model_fields}
    known = {"device_id": device.id, "severity": severity, "context": AnomalyContext(device=device)}
    return EnrichedAnomaly.model_validate(fields | known)


async def ends(scenario):
    """How many anomalies of each fault were hidden (True) or not."""
    correlator, counts = Correlator(POLICY), Counter()
    correlator.use(Inventory(SHIP.devices))
    correlator.suppression.outages.replace([OUTAGE])
    run = named(scenario, rate=10)
    faults = {episode.id: episode.fault for episode in run.episodes}
    async for event, found in watched(run):
        for message in found:
            if isinstance(message, AnomalyCleared):
                correlator.handle(message)
            if not isinstance(message, AnomalyDetected):
                continue
            [fact, *_] = correlator.handle(enriched(message, event.device))
            fault = faults.get(event.truth.episode or "") if event.truth else None
            counts[fault, isinstance(fact, AnomalySuppressed)] += 1
    return counts


async def test_of_what_the_loss_of_the_link_causes_nearly_all_is_hidden():
    counts = await ends("rain_fade")
    hidden, visible = counts["rain_fade", True], counts["rain_fade", False]
    assert hidden > 40
    assert hidden / (hidden + visible) >= 0.95


async def test_of_all_other_faults_nothing_is_hidden():
    counts = await ends("overlap")
    assert {fault for fault, hidden in counts if hidden} == {"rain_fade"}
    assert len({fault for fault, hidden in counts if not hidden}) > 5


async def test_a_modem_that_restarts_meanwhile_is_seen():
    counts = await ends("modem_reboot")
    assert counts["modem_reboot", False] >= 3
