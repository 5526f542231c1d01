"""Wiring of incident-api, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.service import LINGER, Service, Tuning
from aiops_core.runtime.storing import Storing
from incident_api.wiring import Wiring

TUNING = Tuning(
    max_batch=1024,  # a write costs the same for one row and for hundreds
    linger=LINGER,
)


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    async with Wiring.open(context) as wiring:
        context.web = wiring.web
        context.beside += [wiring.history.service(), wiring.suggestions.service()]
        yield Service(
            "incident-api",
            wiring.recorder.handlers,
            Storing(wiring.recorder.flush),
            tuning=TUNING,
            recover=wiring.recover,
            background=[
                wiring.watch,
                wiring.keep_open_ones,
                wiring.recorder.write_urgent,
                wiring.audit,
                wiring.devices.keep_published,
                wiring.learner.keep_learning,
                wiring.ship.keep,
                wiring.silences.keep_tidy,
            ],
        )


def main() -> None:
    launch("incident-api", recipe)


if __name__ == "__main__":
    main()
