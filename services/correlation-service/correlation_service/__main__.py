"""Wiring, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.launch import Context, launch
from aiops_core.models import EnrichedAnomaly, IncidentTransitioned
from aiops_core.runtime import Service
from correlation_service.correlator import Correlator
from correlation_service.handler import SERVICE, Correlation, merge
from correlation_service.policy import CorrelatePolicy


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = CorrelatePolicy.load(context.settings.policies)
    correlation = Correlation(Correlator(policy))
    yield Service(
        SERVICE,
        {EnrichedAnomaly: correlation.correlate, IncidentTransitioned: correlation.transition},
        stage="correlate",
        recover=correlation.recover,
        merge=merge,
        tick=correlation.tick,
    )


def main() -> None:
    launch(SERVICE, recipe)


if __name__ == "__main__":
    main()
