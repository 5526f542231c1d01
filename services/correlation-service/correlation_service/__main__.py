"""Wiring, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.models import AnomalyCleared, EnrichedAnomaly, IncidentTransitioned
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.service import Service
from correlation_service.facts import SERVICE
from correlation_service.handler import Correlation
from correlation_service.joining import merge
from correlation_service.policy import CorrelatePolicy


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(CorrelatePolicy, context.settings.policies)
    correlation = Correlation(policy, context.bus)
    yield Service(
        SERVICE,
        {
            EnrichedAnomaly: correlation.handle,
            AnomalyCleared: correlation.handle,
            IncidentTransitioned: correlation.handle,
        },
        stage="correlate",
        recover=correlation.recover,
        rebuild=True,
        merge=merge,
        tick=correlation.tick,
        background=correlation.background,
    )


def main() -> None:
    launch(SERVICE, recipe)


if __name__ == "__main__":
    main()
