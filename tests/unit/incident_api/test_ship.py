"""What people declare about the ship through the API -> what holds, and when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import httpx
import pytest

from aiops_core.models import Device
from aiops_core.suppression.ship import Ship
from incident_api.devices.models import DeviceImport
from tests.api_parts import SHIP_POLICY as POLICY
from tests.conftest import NOON
from tests.ship_api import Aboard

API = "/api/v3/ship"
HOUR = timedelta(hours=1)
DEVICES = (
    Device(id="modem", labels={"ip": "10.0.0.1"}),
    Device(id="router", upstream=("modem",)),
    Device(id="ap-d05-01", upstream=("router",)),
    Device(id="ap-d09-01", upstream=("router",)),
)


@pytest.fixture
async def aboard() -> Aboard:
    ship = Aboard(now=NOON)
    await ship.recover()
    body = {"devices": [device.model_dump(mode="json") for device in DEVICES]}
    await ship.devices.imports(DeviceImport.model_validate(body), "test")
    return ship


@pytest.fixture
async def client(aboard: Aboard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(aboard.app())
    headers = {"X-Aiops-Actor": "eto"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers
    ) as client:
        yield client


def at(hours: float) -> str:
    return (NOON + hours * HOUR).isoformat()


async def post(client: httpx.AsyncClient, noun: str, **body: object) -> dict:
    answer = await client.post(f"{API}/{noun}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def refusal(client: httpx.AsyncClient, noun: str, **body: object) -> tuple[int, str]:
    answer = await client.post(f"{API}/{noun}", json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


async def stored(aboard: Aboard) -> Ship:
    return Ship.of(await aboard.bus.bucket("ship").all())


async def test_the_mode_is_unknown_until_somebody_declares_it(aboard, client):
    assert (await client.get(f"{API}/mode")).json()["mode"] is None
    view = (await client.put(f"{API}/mode", json={"mode": "port", "reason": "Bergen"})).json()
    assert (view["mode"], view["by"], view["reason"]) == ("port", "eto", "Bergen")
    assert (await stored(aboard)).mode_at(NOON) == "port"


async def test_saying_the_same_mode_again_changes_nothing(aboard, client):
    for hours in (0, 1):
        aboard.now = NOON + hours * HOUR
        view = (await client.put(f"{API}/mode", json={"mode": "port"})).json()
    assert datetime.fromisoformat(view["since"]) == NOON
    assert len(view["history"]) == 1


async def test_a_mode_may_be_corrected_for_the_past_but_not_foretold(aboard, client):
    await client.put(f"{API}/mode", json={"mode": "at_sea"})
    aboard.now = NOON + 3 * HOUR
    view = (await client.put(f"{API}/mode", json={"mode": "port", "since": at(2)})).json()
    assert [change["mode"] for change in view["history"]] == ["port", "at_sea"]
    ship = await stored(aboard)
    assert [ship.mode_at(NOON + n * HOUR) for n in (1, 2)] == ["at_sea", "port"]
    future = await client.put(f"{API}/mode", json={"mode": "port", "since": at(9)})
    assert (future.status_code, future.json()["detail"]) == (422, "body.since: lies in the future")
    assert (await client.put(f"{API}/mode", json={"mode": "flying"})).status_code == 422


async def test_a_maintenance_window_is_declared_and_shows_what_it_covers(aboard, client):
    view = await post(client, "maintenance", devices=["AP-*"], end=at(2), reason="new firmware")
    window = view["window"]
    assert (view["state"], view["covers"]) == ("running", ["ap-d05-01", "ap-d09-01"])
    assert (window["owner"], window["reason"]) == ("eto", "new firmware")
    wide = await post(
        client, "maintenance", devices=["router"], dependants=True, end=at(2), reason="new cable"
    )
    assert wide["covers"] == ["ap-d05-01", "ap-d09-01", "router"]
    root = await post(
        client, "maintenance", devices=["modem"], dependants=True, end=at(2), reason="yard"
    )
    assert len(root["covers"]) == len(DEVICES)
    await client.delete(f"{API}/maintenance/{root['window']['id']}")
    holding = {one.id for one in (await stored(aboard)).maintenance if one.holds(NOON + HOUR)}
    assert holding == {window["id"], wide["window"]["id"]}
    shown = await client.get(f"{API}/maintenance/{window['id']}")
    assert shown.json() == view


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"devices": ["*"], "end": at(1)}, "body.devices: name devices or services, not the whole"),
        ({"devices": ["[a-z]*"], "end": at(1)}, "body.devices: name devices or services, not the"),
        ({"end": at(1)}, "body.devices: name devices or services"),
        ({"devices": ["ap-*"], "end": at(0)}, "body.end: must be after the start and lie in the"),
        ({"devices": ["ap-*"], "start": at(2), "end": at(1)}, "body.end: must be after the start"),
        ({"devices": ["ap-*"], "start": at(-3), "end": at(-1)}, "body.end: must be after"),
        ({"devices": ["ap-*"], "end": at(1441)}, "body.end: at most 1440 h after the start (ship."),
        ({"devices": ["ap-*"], "end": at(1), "reason": ""}, "body.reason: "),
        ({"devices": ["ap-*"]}, "body.end: Field required"),
        ({"devices": [""], "end": at(1)}, "body.devices.0: "),
        ({"device": ["ap-*"], "end": at(1)}, "body.device: Extra inputs are not permitted"),
    ],
)
async def test_a_window_without_end_reason_or_bounds_is_refused(client, body, said):
    status, detail = await refusal(client, "maintenance", **{"reason": "because", **body})
    assert (status, detail[: len(said)]) == (422, said)


async def test_a_window_that_is_ended_early_still_explains_what_happened_in_it(aboard, client):
    window = (await post(client, "maintenance", devices=["ap-*"], end=at(4), reason="work"))[
        "window"
    ]
    aboard.now = NOON + HOUR
    ended = (await client.delete(f"{API}/maintenance/{window['id']}")).json()
    assert (ended["state"], datetime.fromisoformat(ended["window"]["end"])) == ("over", aboard.now)
    [kept] = (await stored(aboard)).maintenance
    assert [kept.holds(NOON + n * HOUR) for n in (0, 1)] == [True, False]
    assert (await client.delete(f"{API}/maintenance/{window['id']}")).json() == ended


async def test_a_planned_window_is_withdrawn_and_gone(aboard, client):
    planned = await post(
        client, "maintenance", services=["dns"], start=at(1), end=at(2), reason="upgrade"
    )
    assert (planned["state"], planned["covers"]) == ("planned", [])
    url = f"{API}/maintenance/{planned['window']['id']}"
    assert (await client.delete(url)).json()["state"] == "withdrawn"
    gone = await client.get(url)
    assert gone.status_code == 404
    assert (await client.delete(url)).json()["detail"] == gone.json()["detail"]


async def test_an_outage_names_its_link_and_who_needs_it(aboard, client):
    view = await post(
        client, "outages", device_id="10.0.0.1", kind="blocked_sector", end=at(1), reason="mast 40-60",
    )  # fmt: skip
    assert (view["outage"]["device_id"], view["outage"]["source"]) == ("modem", "eto")
    assert view["dependants"] == ["router", "ap-d05-01", "ap-d09-01"]
    [kept] = (await stored(aboard)).outages
    assert (kept.kind, kept.holds(NOON)) == ("blocked_sector", True)
    aboard.now = NOON + HOUR / 2
    ended = (await client.delete(f"{API}/outages/{view['outage']['id']}")).json()
    assert ended["state"] == "over"
    [kept] = (await stored(aboard)).outages
    assert not kept.holds(aboard.now)


async def test_an_outage_of_nothing_known_is_refused(client):
    said = {"end": at(1), "reason": "unclear", "kind": "quota"}
    assert await refusal(client, "outages", device_id="warp", **said) == (
        422,
        "body.device_id: there is no device warp",
    )
    assert (await refusal(client, "outages", device_id="modem", **said | {"kind": "kraken"}))[
        0
    ] == 422


async def test_the_overview_shows_what_is_planned_or_running(aboard, client):
    await client.put(f"{API}/mode", json={"mode": "anchor"})
    over = await post(client, "maintenance", devices=["modem"], end=at(1), reason="short")
    await post(client, "maintenance", devices=["router"], start=at(5), end=at(6), reason="later")
    await post(
        client, "outages", device_id="modem", kind="handover", end=at(9), reason="beam change"
    )
    aboard.now = NOON + 2 * HOUR
    view = (await client.get(API)).json()
    assert view["mode"]["mode"] == "anchor"
    assert [one["state"] for one in view["maintenance"]] == ["planned"]
    assert [one["state"] for one in view["outages"]] == ["running"]
    listed = (await client.get(f"{API}/maintenance")).json()["items"]
    assert [one["state"] for one in listed] == ["over", "planned"]
    assert listed[0]["window"]["id"] == over["window"]["id"]
    assert len((await client.get(f"{API}/outages")).json()["items"]) == 1


async def test_what_is_long_over_is_forgotten_with_the_next_declaration(aboard, client):
    await post(client, "maintenance", devices=["modem"], end=at(1), reason="short")
    aboard.now = NOON + HOUR + POLICY.remembered
    await post(client, "outages", device_id="modem", kind="quota", end=at(300), reason="used up")
    assert len((await stored(aboard)).maintenance) == 1
    aboard.now += HOUR
    await post(client, "outages", device_id="modem", kind="quota", end=at(300), reason="used up")
    assert (await stored(aboard)).maintenance == ()


async def test_the_number_of_declarations_is_bounded(aboard, client, monkeypatch):
    few = POLICY.model_copy(update={"outages": POLICY.outages.model_copy(update={"most": 1})})
    monkeypatch.setattr(aboard.ship, "_policy", few)
    said = {"device_id": "modem", "kind": "handover", "end": at(1), "reason": "beam change"}
    await post(client, "outages", **said)
    assert await refusal(client, "outages", **said) == (
        409,
        "there are 1 already (ship.yaml); end one first",
    )


async def test_it_survives_a_kill_and_says_when_the_broker_is_away(aboard, client):
    await client.put(f"{API}/mode", json={"mode": "dry_dock"})
    aboard.restart()
    transport = httpx.ASGITransport(aboard.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as fresh:
        assert (await fresh.get(f"{API}/mode")).status_code == 503
        await aboard.recover()
        assert (await fresh.get(f"{API}/mode")).json()["mode"] == "dry_dock"
        aboard.bus.connected = False
        assert (await fresh.put(f"{API}/mode", json={"mode": "port"})).status_code == 503
