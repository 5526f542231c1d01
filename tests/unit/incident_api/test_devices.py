"""Imports -> the inventory that is served, stored and published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from aiops_core.inventory.inventory import BUCKET, KEY, Inventory
from aiops_lab.memory_bus import MemoryBus
from aiops_lab.simulator.inventory import SHIP
from incident_api.devices import commands as module
from incident_api.devices.models import UnknownHost
from tests.conftest import NOON
from tests.ship_api import Aboard

API = "/api/v3/devices"
CORE, AP = {"id": "core", "criticality": "high"}, {"id": "ap-1", "upstream": ["core"]}


@pytest.fixture
async def aboard() -> Aboard:
    ship = Aboard()
    await ship.recover()
    return ship


@pytest.fixture
async def client(aboard: Aboard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(aboard.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def imported(client: httpx.AsyncClient, *devices: dict, **options: bool) -> dict:
    answer = await client.post(f"{API}/import", json={"devices": list(devices)} | options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def published(aboard: Aboard) -> Inventory | None:
    data = await aboard.bus.bucket(BUCKET).get(KEY)
    return None if data is None else Inventory.from_json(data)


async def ids(client: httpx.AsyncClient, **filters: object) -> list[str]:
    page = (await client.get(API, params=filters)).json()
    return [device["id"] for device in page["items"]]


async def test_an_import_is_served_stored_and_published(aboard, client):
    report = await imported(client, CORE, AP)
    assert (report["added"], report["total"]) == (["core", "ap-1"], 2)
    assert await ids(client) == ["ap-1", "core"]
    stored = Inventory((await aboard.store.load())[0])
    assert await published(aboard) == stored == aboard.devices.inventory
    assert stored.upstream_of("ap-1") == ("core",)


async def test_the_difference_is_told_and_a_dry_run_changes_nothing(aboard, client):
    await imported(client, CORE, AP, {"id": "old"})
    asked = [CORE | {"criticality": "critical", "labels": {"ip": "10.0.0.1"}}, {"id": "new"}]
    would = await imported(client, *asked, dry_run=True, prune=True)
    assert (would["added"], would["removed"]) == (["new"], ["ap-1", "old"])
    assert would["changed"] == [
        {
            "id": "core",
            "fields": [
                {"field": "criticality", "before": "high", "after": "critical"},
                {"field": "labels", "before": "", "after": "ip=10.0.0.1"},
            ],
        }
    ]
    assert await ids(client) == ["ap-1", "core", "old"]
    kept = await imported(client, *asked)
    assert (kept["kept"], kept["removed"]) == (["ap-1", "old"], [])
    assert await ids(client) == ["ap-1", "core", "new", "old"]
    again = await imported(client, *asked)
    assert (again["unchanged"], again["changed"]) == (["core", "new"], [])


async def test_what_prune_removes_may_come_back(aboard, client):
    await imported(client, CORE, AP)
    await imported(client, CORE, prune=True)
    assert await ids(client) == ["core"]
    await imported(client, AP)
    assert await ids(client) == ["ap-1", "core"]
    assert [device.id for device in (await aboard.store.load())[0]] == ["ap-1", "core"]


async def test_all_mistakes_are_named_with_their_places_and_nothing_is_imported(aboard, client):
    await imported(client, CORE)
    wrong = [{"id": "a", "upstream": ["b"]}, {"id": "b", "upstream": ["a", "gone"]}, {"id": "CORE"}]
    answer = await client.post(f"{API}/import", json={"devices": wrong[:2]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [(e["field"], e["message"]) for e in answer.json()["errors"]] == [
        ("body.devices.0.upstream", "a cycle: 'a' needs 'b' needs 'a'"),
        ("body.devices.1.upstream", "'b' needs 'gone', which is unknown"),
    ]
    clash = (await client.post(f"{API}/import", json={"devices": wrong[2:]})).json()
    assert clash["detail"] == "device 'CORE' is known as 'core'"
    bad = {"devices": [CORE, {"id": "x", "criticality": "enormous", "colour": "red"}]}
    errors = (await client.post(f"{API}/import", json=bad)).json()["errors"]
    assert [e["field"] for e in errors] == [
        "body.devices.1.criticality",
        "body.devices.1.colour",
    ]
    assert await ids(client) == ["core"]


async def test_a_parent_that_is_known_already_is_no_stranger_unless_it_goes(client):
    await imported(client, CORE)
    await imported(client, AP)
    answer = await client.post(f"{API}/import", json={"devices": [AP], "prune": True})
    assert answer.json()["detail"] == "'ap-1' needs 'core', which is unknown"


async def test_an_address_that_two_devices_claim_is_warned_of(client):
    both = [device | {"labels": {"ip": "10.0.0.1"}} for device in (CORE, AP)]
    report = await imported(client, *both)
    assert report["warnings"] == ["10.0.0.1 is claimed by ap-1, core, so it means none of them"]


async def test_a_device_is_shown_by_any_name_with_all_that_hangs_on_it(aboard, client):
    await imported(client, *(device.model_dump(mode="json") for device in SHIP.devices))
    address = SHIP["wlc-01"].labels["ip"]
    view = (await client.get(f"{API}/{address}")).json()
    assert view["device"]["id"] == "wlc-01"
    above = {one["id"]: one["hops"] for one in view["upstream"]}
    assert above == {"sw-srv-01": 1, "sw-core-01": 2, "ups-rack-01": 3}
    assert {one["id"] for one in view["downstream"]} == set(SHIP.below("wlc-01"))
    missing = await client.get(f"{API}/nobody")
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no device nobody")


async def test_the_graph_has_an_edge_for_every_dependency(client):
    await imported(client, *(device.model_dump(mode="json") for device in SHIP.devices))
    graph = (await client.get(f"{API}/graph")).json()
    assert len(graph["nodes"]) == len(SHIP.devices)
    edges = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert edges == {(parent, d.id) for d in SHIP.devices for parent in d.upstream}


async def test_hosts_that_no_device_goes_by_are_told_the_busiest_first(aboard, client):
    await imported(client, CORE | {"labels": {"ip": "10.0.0.1"}})
    aboard.now, hour = NOON, timedelta(hours=1)
    aboard.store.hosts = [
        UnknownHost(host=host, anomalies=number, last_seen=last, services=["app"])
        for host, number, last in (
            ("core", 9, NOON),
            ("10.0.0.1", 8, NOON),  # before it was known
            ("10.0.0.7", 2, NOON - hour),
            ("pi", 5, NOON - hour),
            ("old", 7, NOON - 30 * hour),
        )
    ]
    found = (await client.get(f"{API}/unknown")).json()["items"]
    assert [(one["host"], one["anomalies"]) for one in found] == [("pi", 5), ("10.0.0.7", 2)]
    wide = (await client.get(f"{API}/unknown", params={"hours": 48, "limit": 1})).json()["items"]
    assert [one["host"] for one in wide] == ["old"]


async def test_lists_are_filtered_and_paged(client):
    await imported(client, *(device.model_dump(mode="json") for device in SHIP.devices))
    assert await ids(client, type="camera") == ["cam-d09-01"]
    assert await ids(client, site="DECK 9", criticality="medium") == ["sw-acc-d09"]
    assert await ids(client, owner="engine", q="sensor gateway") == ["eng-gw-01"]
    seen, cursor = [], {}
    while True:
        page = (await client.get(API, params={"limit": 20} | cursor)).json()
        seen += [device["id"] for device in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(device.id for device in SHIP.devices)


async def test_a_kill_between_storing_and_publishing_is_mended_at_the_next_start(aboard, client):
    await imported(client, CORE)

    async def killed() -> None:
        raise asyncio.CancelledError

    aboard.devices._publish = killed
    with pytest.raises(asyncio.CancelledError):
        await imported(client, AP)
    assert len(await published(aboard)) == 1
    aboard.restart()
    await aboard.recover()
    assert len(await published(aboard)) == 2


async def test_a_broker_that_lost_its_disk_gets_the_inventory_again(aboard, client, monkeypatch):
    monkeypatch.setattr(module, "COMPARE_EVERY", 0.001)
    await imported(client, CORE)
    keeping = asyncio.create_task(aboard.devices.keep_published())
    await aboard.bus.bucket(BUCKET).delete(KEY)
    async with asyncio.timeout(5):
        while not await published(aboard):
            await asyncio.sleep(0.001)
    keeping.cancel()


async def test_a_clock_that_goes_back_does_not_lose_an_import(aboard, client):
    for hours, level in ((0, "low"), (-48, "high")):
        aboard.now = NOON + timedelta(hours=hours)
        await imported(client, CORE | {"criticality": level})
    aboard.restart()
    await aboard.recover()
    assert aboard.devices.inventory.get("core").criticality == "high"


async def test_more_than_one_message_of_the_broker_can_hold_is_refused(client, monkeypatch):
    monkeypatch.setattr(module, "BYTES_MOST", 1000)
    many = [{"id": f"d{n}"} for n in range(20)]
    answer = await client.post(f"{API}/import", json={"devices": many})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("all devices together would take ")
    assert await ids(client) == []


async def test_while_something_is_away_nothing_is_half_done(aboard, client):
    aboard.bus.connected = False
    answer = await client.post(f"{API}/import", json={"devices": [CORE]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    aboard.bus.connected, aboard.store.problem = True, "clickhouse does not answer"
    assert (await client.post(f"{API}/import", json={"devices": [CORE]})).status_code == 503
    aboard.store.problem = None
    assert await ids(client) == []
    await imported(client, CORE)


async def test_before_the_inventory_has_been_read_there_is_no_answer_rather_than_an_empty_one():
    transport = httpx.ASGITransport(Aboard(bus=MemoryBus()).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get(API)).status_code == 503
