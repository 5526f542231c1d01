"""Wiring of incident-api, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.service import Service
from incident_api.wiring import Wiring

BATCH = 1024  # messages: a write costs the same for one row and for hundreds
PACE = 0.005  # seconds: waking up for one message costs as much as for ten


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    async with Wiring.open(context) as wiring:
        context.web = wiring.web
        context.beside.append(wiring.history.service())
        yield Service(
            "incident-api",
            handlers=wiring.recorder.handlers,
            batch=BATCH,
            pace=PACE,
            recover=wiring.recover,
            commit=wiring.recorder.commit,
            settled=wiring.recorder.settled,
            sees=wiring.recorder.sees,
            background=[
                wiring.watch,
                wiring.recorder.keep_flushing,
                wiring.audit,
                wiring.devices.keep_published,
                wiring.ship.keep,
                wiring.silences.keep_tidy,
            ],
        )


def main() -> None:
    launch("incident-api", recipe)


if __name__ == "__main__":
    main()
