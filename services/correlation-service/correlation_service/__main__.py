"""Wiring, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.launch import Context, launch
from aiops_core.models import AnomalyCleared, EnrichedAnomaly, IncidentTransitioned
from aiops_core.runtime import Service
from aiops_core.watched import watched_inventory, watched_ship, watched_silences
from correlation_service.correlator import Correlator
from correlation_service.facts import SERVICE
from correlation_service.handler import Correlation, merge
from correlation_service.policy import CorrelatePolicy


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = CorrelatePolicy.load(context.settings.policies)
    correlator = Correlator(policy)
    hides = correlator.suppression
    followed = (
        watched_silences(context.bus, hides.silences.replace),
        watched_ship(context.bus, lambda ship: hides.outages.replace(ship.outages)),
    )
    inventory = watched_inventory(context.bus, correlator.use)
    correlation = Correlation(correlator, followed, inventory)
    yield Service(
        SERVICE,
        {
            EnrichedAnomaly: correlation.correlate,
            AnomalyCleared: correlation.recovered,
            IncidentTransitioned: correlation.transition,
        },
        stage="correlate",
        recover=correlation.recover,
        merge=merge,
        tick=correlation.tick,
        background=[one.keep for one in (inventory, *followed)],
    )


def main() -> None:
    launch(SERVICE, recipe)


if __name__ == "__main__":
    main()
