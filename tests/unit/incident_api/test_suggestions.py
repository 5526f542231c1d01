"""Suggested devices and edges through the API: told, accepted, rejected, and after a kill."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET, Inventory
from aiops_core.inventory.suggestions import KEY, EdgeFinding, EdgeKey, Suggestions
from aiops_core.models import Device, LinkObserved
from incident_api.devices.observed import edges_of
from incident_api.devices.suggesting import DEVICES_KEY, SuggestedDevices, relearned
from incident_api.devices.suggestion_models import NewSuggestions
from tests.conftest import NOON
from tests.incident_cases import received
from tests.ship_api import Aboard

API = "/api/v3/devices"
KNOWN = [{"id": "fw"}, {"id": "core", "upstream": ["fw"], "labels": {"ip": "10.0.0.2"}}]
AP = {"device": "ap-7", "upstream": "core", "kind": "lldp", "confidence": 0.9}
CAM = {"device": "cam-1", "upstream": "ap-7", "confidence": 0.5, "evidence": ["its port says so"]}


@pytest.fixture
async def aboard() -> Aboard:
    ship = Aboard(now=NOON)
    await ship.recover()
    return ship


@pytest.fixture
async def client(aboard: Aboard) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(aboard) as client:
        assert (await client.post(f"{API}/import", json={"devices": KNOWN})).is_success
        yield client


def opened(aboard: Aboard) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(aboard.app()),
        base_url="http://127.0.0.1",
        headers={"X-Aiops-Actor": "eto"},
    )


async def post(client: httpx.AsyncClient, path: str = "", **body: object) -> dict:
    answer = await client.post(f"{API}/suggestions{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(client: httpx.AsyncClient, **asked: object) -> list[tuple[str, str]]:
    page = (await client.get(f"{API}/suggestions", params=asked)).json()
    return [(one["device"], one["upstream"]) for one in page["items"]]


def outcomes(report: dict) -> list[str]:
    return [edge["outcome"] for edge in report["edges"]]


async def test_what_is_told_is_listed_the_surest_first_with_its_evidence(aboard, client):
    report = await post(client, edges=[CAM, AP])
    assert outcomes(report) == ["new", "new"]
    page = (await client.get(f"{API}/suggestions", params={"limit": 1})).json()
    [first] = page["items"]
    assert (first["device"], first["kinds"], first["unknown"]) == ("ap-7", ["lldp"], ["ap-7"])
    rest = {"limit": 1, "cursor": page["next_cursor"]}
    [second] = (await client.get(f"{API}/suggestions", params=rest)).json()["items"]
    assert (second["device"], second["evidence"]) == ("cam-1", ["its port says so"])
    assert await listed(client, least=0.8) == [("ap-7", "core")]
    kept = Suggestions.from_json(await aboard.bus.bucket(BUCKET).get(KEY))
    assert kept == await aboard.suggestions.edges()


async def test_names_are_those_of_the_inventory_and_contradictions_are_not_suggested(client):
    told = [
        AP | {"upstream": "10.0.0.2"},
        {"device": "FW", "upstream": "core", "confidence": 0.9},
        {"device": "core", "upstream": "fw", "confidence": 0.9},
        {"device": "core", "upstream": "CORE", "confidence": 0.9},
        {"device": "core", "upstream": "ap-7", "confidence": 0.8},
    ]
    report = await post(client, edges=told)
    assert outcomes(report) == ["new", "contradicted", "known", "itself", "contradicted"]
    assert await listed(client) == [("ap-7", "core")]


async def test_of_two_orders_the_more_certain_one_stays(client):
    await post(client, edges=[CAM])
    turned = {"device": "ap-7", "upstream": "cam-1", "confidence": 0.7}
    assert outcomes(await post(client, edges=[turned])) == ["new"]
    assert await listed(client) == [("ap-7", "cam-1")]


async def test_a_dry_run_keeps_nothing(aboard, client):
    asked = {"edges": [AP], "devices": [{"device": {"id": "x"}, "said": "leases"}]}
    report = await post(client, **asked, dry_run=True)
    assert (outcomes(report), report["devices"]) == (["new"], ["x"])
    assert await listed(client) == []
    assert await aboard.bus.bucket(BUCKET).get(KEY) is None


async def test_accepting_imports_the_edge_and_the_devices_that_it_misses(aboard, client):
    described = {"id": "ap-7", "type": "access point", "labels": {"ip": "10.0.0.7"}}
    await post(client, edges=[AP, CAM], devices=[{"device": described, "said": "leases of dhcp"}])
    tried = await post(client, "/accept", device="ap-7", dry_run=True)
    assert (tried["added"], tried["total"]) == (["ap-7"], 3)
    assert await listed(client) == [("ap-7", "core"), ("cam-1", "ap-7")]
    done = await post(client, "/accept", device="ap-7", upstream=["10.0.0.2"])
    assert done["accepted"] == [{"device": "ap-7", "upstream": "core"}]
    stored = Inventory((await aboard.store.load())[0])
    assert stored.upstream_of("ap-7") == ("core", "fw")
    assert (stored.get("ap-7").type, stored.resolve("10.0.0.7")) == ("access point", "ap-7")
    assert await listed(client, status="accepted") == [("ap-7", "core")]
    assert outcomes(await post(client, edges=[AP])) == ["known"]


async def test_all_above_a_confidence_are_accepted_and_a_circle_is_left_open(aboard, client):
    ring = [
        {"device": "a", "upstream": "b", "confidence": 0.9},
        {"device": "b", "upstream": "c", "confidence": 0.85},
        {"device": "c", "upstream": "a", "confidence": 0.8},
        {"device": "not an id", "upstream": "core", "confidence": 0.8},
        {"device": "d", "upstream": "core", "confidence": 0.3},
    ]
    await post(client, edges=ring)
    done = await post(client, "/accept", least=0.8)
    assert [(one["device"], one["upstream"]) for one in done["accepted"]] == [
        ("a", "b"),
        ("b", "c"),
    ]
    assert {one["device"]: one["reason"] for one in done["skipped"]} == {
        "c": "a needs c already",
        "not an id": "'not an id' cannot be the id of a device",
    }
    assert {device.id for device in aboard.devices.inventory.devices} == {
        *"abc", "fw", "core",
    }  # fmt: skip
    answer = await client.post(f"{API}/suggestions/accept", json={"device": "not an id"})
    assert answer.json()["detail"] == "'not an id' cannot be the id of a device"


async def test_what_was_rejected_is_never_suggested_again(aboard, client):
    await post(client, edges=[AP, CAM])
    done = await post(client, "/reject", device="cam-1")
    assert done["rejected"] == [{"device": "cam-1", "upstream": "ap-7"}]
    for _ in range(2):
        assert outcomes(await post(client, edges=[CAM | {"confidence": 0.95}])) == ["rejected"]
        assert await listed(client) == [("ap-7", "core")]
        aboard.restart()
        await aboard.recover()
    async with opened(aboard) as again:
        assert await listed(again, status="rejected") == [("cam-1", "ap-7")]


async def test_devices_that_nothing_connects_are_listed_accepted_and_rejected(aboard, client):
    told = [
        {"device": {"id": name, "labels": {"ip": ip}}, "said": "a lease of dnsmasq"}
        for name, ip in (("tv-1", "10.1.0.1"), ("tv-2", "10.1.0.2"), ("sw", "10.0.0.2"))
    ]
    report = await post(client, devices=told)
    assert report["devices"] == ["tv-1", "tv-2"], "10.0.0.2 is core"
    await post(client, "/reject", devices=["tv-2"])
    done = await post(client, "/accept", devices=["tv-1"])
    assert (done["added"], done["accepted"]) == (["tv-1"], [])
    assert (await post(client, devices=told))["devices"] == []
    page = (await client.get(f"{API}/suggestions")).json()
    assert page["devices"] == []
    aboard.restart()
    await aboard.recover()
    kept = SuggestedDevices.from_json(await aboard.bus.bucket(BUCKET).get(DEVICES_KEY))
    assert [one.status for one in kept] == ["open", "open", "rejected"]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/accept", {"device": "ap-9"}, 404, "nothing suggests what ap-9 needs"),
        ("/reject", {"device": "ap-7", "upstream": ["x"]}, 404, "that ap-7 needs x"),
        ("/accept", {"devices": ["x"]}, 404, "nothing suggests a device x"),
        ("/accept", {}, 422, "give one of device, least, devices"),
        ("/reject", {"least": 0.5, "upstream": ["x"]}, 422, "upstream belongs to a device"),
        ("", {}, 422, "give devices or edges"),
        ("", {"edges": [AP | {"confidence": 1}]}, 422, "less than or equal to 0.95"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason(client, path, body, status, detail):
    await post(client, edges=[AP])
    answer = await client.post(f"{API}/suggestions{path}", json=body)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


async def test_after_a_kill_between_inventory_and_bucket_the_edge_counts_as_accepted(
    aboard, client
):
    await post(client, edges=[AP])
    before = await aboard.bus.bucket(BUCKET).get(KEY)
    await post(client, "/accept", device="ap-7")
    await aboard.bus.bucket(BUCKET).put(KEY, before)
    aboard.restart()
    await aboard.recover()
    async with opened(aboard) as again:
        assert await listed(again) == []
        assert await listed(again, status="accepted") == [("ap-7", "core")]


async def test_a_bucket_that_cannot_be_read_or_reached_loses_nothing_else(aboard, client):
    await post(client, edges=[AP])
    aboard.bus.connected = False
    answer = await client.post(f"{API}/suggestions", json={"edges": [CAM]})
    assert answer.status_code == 503
    assert await listed(client) == [("ap-7", "core")], "nothing counts that is not durable"
    aboard.bus.connected = True
    for key in (KEY, DEVICES_KEY):
        await aboard.bus.bucket(BUCKET).put(key, b"[7]")
    aboard.restart()
    await aboard.recover()
    async with opened(aboard) as again:
        assert await listed(again) == []
        await post(again, edges=[AP])
        assert await listed(again) == [("ap-7", "core")]


async def test_a_broker_that_lost_its_disk_gets_them_again_with_the_next_change(aboard, client):
    await post(client, edges=[AP], devices=[{"device": {"id": "x"}, "said": "a lease"}])
    for key in (KEY, DEVICES_KEY):
        await aboard.bus.bucket(BUCKET).delete(key)
    assert await listed(client) == [("ap-7", "core")]
    await post(client, edges=[CAM])
    kept = Suggestions.from_json(await aboard.bus.bucket(BUCKET).get(KEY))
    assert [one.device for one in kept] == ["ap-7", "cam-1"]


async def test_nothing_is_answered_before_the_inventory_is_read():
    ship = Aboard()
    with pytest.raises(Unavailable):
        await ship.suggestions.edges()
    with pytest.raises(Unavailable):
        await ship.suggestions.service().recover(ship.bus)


# -- evidence from time and from lines ------------------------------------------------------------


def learned(confidence: float) -> EdgeFinding:
    return EdgeFinding(kind="time", confidence=confidence, first_seen=NOON, last_seen=NOON)


def test_what_is_learned_anew_replaces_what_was_learned_before_and_contradicts_nothing():
    ship = Inventory([Device(id="fw"), Device(id="core", upstream=("fw",))])
    first = relearned(
        Suggestions(), ship, "time", {EdgeKey("cam-1", "ap-7"): learned(0.7)}
    ).suggestions
    told = {
        EdgeKey("fw", "core"): learned(0.9),
        EdgeKey("ap-7", "cam-1"): learned(0.6),
        EdgeKey("cam-1", "ap-7"): learned(0.8),
    }
    again = relearned(first, ship, "time", told)
    assert [one.outcome for one in again.outcomes] == ["contradicted", "new", "new"]
    assert [one.key for one in again.suggestions] == [("cam-1", "ap-7")]


def observed(device: str = "ap-9", far: str = "core", **more: object) -> LinkObserved:
    fields = {"tracking_id": "t", "ship_id": "s", "ts": NOON, "kind": "lldp", "said": "a line"}
    ends = {"device": device, "far": far, "sender": device, "sending": (device,)}
    return LinkObserved(**fields | ends | more)


def test_a_line_names_known_ends_and_is_believed_little():
    ship = Inventory([Device(id="core", type="core switch"), Device(id="cam", type="camera")])
    told = dict(
        pair
        for findings in edges_of(
            [
                observed(),
                observed("cam", "CORE.ship.local", kind="cdp"),
                observed("core", "ghost"),
                observed("core", "srv-9", sending=("srv-9",)),
                observed("core", "x", sending=("x",), needs="far"),
                observed("ghost", "core", sending=(), needs="near"),
            ],
            ship,
        )
        for pair in findings.items()
    )
    assert set(told) == {("ap-9", "core"), ("cam", "CORE"), ("srv-9", "core"), ("x", "core")}
    assert all(finding.confidence <= 0.6 for findings in told.values() for finding in findings)


async def test_observed_links_are_durable_before_they_are_acknowledged(aboard, client):
    links = [
        observed(needs="near"),
        observed("core", "ghost"),
        observed("srv-1", "ap-9", sending=("srv-1", "ap-9")),
    ]
    for link in links:
        await aboard.suggestions.observed(received(link))
    for _ in range(2):
        assert await aboard.suggestions.flush() == {}
    assert set(await listed(client)) == {("ap-9", "core"), ("srv-1", "ap-9")}
    again = Suggestions.from_json(await aboard.bus.bucket(BUCKET).get(KEY))
    assert again == await aboard.suggestions.edges()


async def test_a_flood_of_inventions_is_bounded(aboard, client):
    for n in range(0, 6000, 1000):
        await aboard.suggestions.add(
            NewSuggestions(
                edges=[
                    {"device": f"d{n + m}", "upstream": "core", "confidence": 0.4}
                    for m in range(1000)
                ]
            )
        )
    await post(client, edges=[AP])
    assert len(await aboard.suggestions.edges()) == 5000
    assert (await listed(client))[0] == ("ap-7", "core")
