"""Wiring, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.models import (
    AnomalyCleared,
    EnrichedAnomaly,
    IncidentTransitioned,
    ProblemEdited,
)
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import LINGER, Service, Tuning
from correlation_service.facts import SERVICE
from correlation_service.handler import Correlation
from correlation_service.joining import merge
from correlation_service.policy import CorrelatePolicy


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(CorrelatePolicy, context.settings.policies)
    sink = Publishing(stage="correlate", merge=merge)
    correlation = Correlation(policy, context.bus, sink)
    yield Service(
        SERVICE,
        {
            EnrichedAnomaly: correlation.handle,
            AnomalyCleared: correlation.handle,
            IncidentTransitioned: correlation.handle,
            ProblemEdited: correlation.handle,
        },
        sink,
        tuning=Tuning(linger=LINGER),
        recover=correlation.recover,
        rebuild=True,
        tick=correlation.tick,
        background=correlation.background,
    )


def main() -> None:
    launch(SERVICE, recipe)


if __name__ == "__main__":
    main()
