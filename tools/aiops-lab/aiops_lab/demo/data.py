"""What the demo shows, asked of the fleet from outside: REST API, ``/metrics`` and ``/ready``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from aiops_cli.screen import dig
from aiops_lab.demo.score import ShownIncident
from aiops_lab.fleet.plan import API, SERVICES, Plan

TIMEOUT = 3.0  # seconds
QUESTIONS_AT_ONCE = 8
LISTED = 100  # incidents
STATS_EVERY = 5  # looks; statistics read a quarter of an hour of anomalies
DETECTION, ENRICHMENT = "anomaly-detection", "enrichment-service"
HANDLED = "aiops_messages_handled_total"


@dataclass(frozen=True)
class Snapshot:
    """One look at the fleet. What could not be asked keeps its value of the look before."""

    messages: int = 0  # lines and readings that detection has handled since it started
    anomalies: int = 0
    incidents: Sequence[ShownIncident] = ()
    p50: float | None = None  # ms, fast path
    p99: float | None = None
    problems: Mapping[str, str] = field(default_factory=dict)  # service -> why it is not ready


class Observer:
    """Asks one fleet; *since* leaves out incidents of earlier demos on the same data."""

    def __init__(self, client: httpx.AsyncClient, plan: Plan, since: datetime) -> None:
        self._client = client
        self._urls = plan.addresses()
        self._since = since
        self._last = Snapshot()
        self._looks = 0

    async def look(self) -> Snapshot:
        """A new snapshot; a service that is away costs only what it would have said."""
        last = self._last
        incidents, stats, handled, caught, problems = await asyncio.gather(
            self._api("/incidents", since=self._since.isoformat(), limit=LISTED),
            self._stats(),
            self._handled(DETECTION),
            self._handled(ENRICHMENT),
            self._problems(),
        )
        latency = dig(stats, "fast_path", "latency_ms") or {}
        self._last = Snapshot(
            messages=last.messages if handled is None else handled,
            anomalies=last.anomalies if caught is None else caught,
            incidents=last.incidents if incidents is None else incidents["items"],
            p50=latency.get("p50", last.p50),
            p99=latency.get("p99", last.p99),
            problems=problems,
        )
        return self._last

    async def _stats(self) -> Any:
        self._looks += 1
        return None if self._looks % STATS_EVERY else await self._api("/stats", time_range="15m")

    async def incident_of(self, tracking_ids: Sequence[str]) -> dict[str, ShownIncident]:
        """Which of *tracking_ids* are in an incident, and in which."""
        slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(tracking_id: str) -> tuple[str, ShownIncident | None]:
            async with slots:
                page = await self._api("/incidents", tracking_id=tracking_id, limit=1)
            items = page["items"] if page else []
            return tracking_id, items[0] if items else None

        answers = await asyncio.gather(*map(ask, tracking_ids))
        return {id_: found for id_, found in answers if found is not None}

    async def _api(self, path: str, **parameters: object) -> Any:
        answer = await self._get(f"{self._urls[API]}/api/v3{path}", parameters)
        return answer.json() if answer is not None and answer.is_success else None

    async def _handled(self, service: str) -> int | None:
        answer = await self._get(f"{self._urls[service]}/metrics")
        return None if answer is None else handled_in(answer.text)

    async def _problems(self) -> dict[str, str]:
        whys = await asyncio.gather(*map(self._problem, SERVICES))
        return {name: why for name, why in zip(SERVICES, whys, strict=True) if why}

    async def _problem(self, service: str) -> str | None:
        answer = await self._get(f"{self._urls[service]}/ready")
        if answer is None:
            return "does not answer"
        return None if answer.is_success else str(dig(answer.json(), "state") or "not ready")

    async def _get(
        self, url: str, parameters: Mapping[str, object] | None = None
    ) -> httpx.Response | None:
        try:
            return await self._client.get(url, params=dict(parameters or {}))  # type: ignore[arg-type]
        except httpx.HTTPError:
            return None


def handled_in(exposition: str) -> int:
    """Messages that a service has handled well, from the text of its ``/metrics``."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == HANDLED and sample.labels.get("outcome") == "ok"
    )
