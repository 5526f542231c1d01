"""Faults and normal lines in real makers' formats through a whole fleet: the incidents of them.

The cases and their judge lie beside the repository (``../shared/field``). What of them does not
need a fleet is also in ``tests/normaliser_cases`` and in the samples of the packs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from aiops_cli.ingest.replay import replay
from aiops_cli.ingest.sink import open_sink
from aiops_core.runtime.service import utc_now
from tests.conftest import ROOT
from tests.fleet import RunningFleet, running_fleet

FIELD = ROOT.parent / "shared" / "field"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not FIELD.exists(), reason="the field cases are not beside this repository"),
]

OF_WORKFLOW = ("injection", "clock-unset", "java-yesterday", "names.json", "cisco-generic-errors")
QUIET = 8.0  # seconds without a new incident, after which all have been found


@pytest.fixture(scope="module")
def judge() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FIELD))
    try:
        import run

        yield run
    finally:
        sys.path.remove(str(FIELD))


def cases() -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for kind in ("vendor", "workflow"):
        path = FIELD / kind / "expected.jsonl"
        found = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        rows += [(kind, case) for case in found if kind == "vendor" or case["case"] in OF_WORKFLOW]
    return rows


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, judge: ModuleType) -> Iterator[RunningFleet]:
    """A fleet that has read all cases, each of a ship of its own."""
    with running_fleet(tmp_path_factory.mktemp("field")) as running:
        judge.STAMPS = tmp_path_factory.mktemp("stamps")
        asyncio.run(_send_all(running, judge))
        _wait_for_quiet(running)
        yield running


async def _send_all(fleet: RunningFleet, judge: ModuleType) -> None:
    async with open_sink(fleet.settings) as sink:
        for kind, case in cases():
            now = utc_now() - timedelta(days=case["case"].endswith("-yesterday"))
            path = judge.written(kind, case, now)
            ship, host = judge.ship(case), judge.host(case)
            summary = await replay([path], sink, ship_id=ship, host=host)
            assert summary.refused_total == 0, summary.refused
            (judge.STAMPS / ship).write_text(str(utc_now().timestamp()))


def _wait_for_quiet(fleet: RunningFleet) -> None:
    async def count() -> int:
        async with httpx.AsyncClient(base_url=fleet.settings.api_url) as api:
            answer = await api.get("/api/v3/incidents", params={"limit": 500})
            return sum(item["anomaly_count"] for item in answer.json()["items"])

    async def wait() -> None:
        async with asyncio.timeout(60):
            seen, since = -1, 0.0
            while since < QUIET:
                await asyncio.sleep(0.5)
                now = await count()
                since = since + 0.5 if now == seen else 0.0
                seen = now

    asyncio.run(wait())


@pytest.mark.parametrize(
    ("kind", "case"), cases(), ids=lambda it: it["case"] if isinstance(it, dict) else it
)
def test_the_incidents_are_those_that_a_person_expects(
    fleet: RunningFleet, judge: ModuleType, kind: str, case: dict[str, Any]
):
    told = {"api_url": fleet.settings.api_url}
    query = {"limit": "100", "ship_id": judge.ship(case)}
    found = judge.get(told, "/api/v3/incidents", **query)["items"]
    full = [judge.get(told, f"/api/v3/incidents/{item['id']}") for item in found]
    wrong = judge.vendor_wrong if kind == "vendor" else judge.workflow_wrong
    said = [f"{one['title']} [{one['severity']}] {sorted(judge.kinds(one))}" for one in full]
    assert wrong(case, full) == [], said


def formats() -> list[dict[str, Any]]:
    path = FIELD / "format" / "expected.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("case", formats(), ids=lambda case: case["case"])
async def test_lines_say_what_their_sender_means(judge: ModuleType, case: dict, tmp_path: Path):
    entries: list[dict[str, Any]] = []

    class Sink:
        async def known(self, entries: object) -> tuple[()]:
            return ()

        async def send(self, new: Any, raw: object = None) -> None:
            entries.extend(json.loads(one.model_dump_json()) for one in new)

    now, judge.STAMPS = utc_now(), tmp_path
    words = dict(zip(*[iter(case["args"].split())] * 2, strict=True))
    host = words.get("--host", "here")
    await replay([judge.written("format", case, now)], Sink(), ship_id="s", host=host)
    assert len(entries) == len(case["lines"])
    pairs = zip(case["lines"], entries, strict=True)
    assert [judge.wrong(want or {}, got, now) for want, got in pairs] == [[]] * len(entries)
