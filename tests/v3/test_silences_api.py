"""``/api/v3/silences`` of a running fleet."""

from __future__ import annotations

from datetime import timedelta

import httpx

from aiops_core.runtime.service import utc_now
from tests.fleet import wait_until
from tests.v3.conftest import entry

PATH = "/api/v3/silences"


def after(**span: float) -> str:
    return (utc_now() + timedelta(**span)).isoformat()


def order(device: str, **changes: object) -> dict[str, object]:
    return {
        "matchers": [f"device_id={device}"],
        "ends_at": after(hours=2),
        "created_by": "eto",
        "comment": "cable works",
    } | changes


def test_a_silence_is_set_listed_extended_and_ended(api: httpx.Client, device: str) -> None:
    answer = api.post(PATH, json=order(device))
    assert answer.status_code == 201
    added = answer.json()
    assert answer.headers["location"] == f"{PATH}/{added['id']}"
    active = api.get(PATH, params={"state": "active"}).json()["items"]
    assert added["id"] in [silence["id"] for silence in active]
    soon = api.get(PATH, params={"expiring_within": "1h"}).json()["items"]
    assert added["id"] not in [silence["id"] for silence in soon]
    later = api.patch(f"{PATH}/{added['id']}", json={"ends_at": after(hours=3)}).json()
    assert later["id"] == added["id"] and later["ends_at"] > added["ends_at"]
    over = api.delete(f"{PATH}/{added['id']}").json()
    assert over["state"] == "expired"
    assert api.patch(f"{PATH}/{added['id']}", json={"ends_at": after(hours=3)}).status_code == 409


def test_what_may_not_be_silenced_is_a_problem(api: httpx.Client, device: str) -> None:
    for changes in (
        {"matchers": ["device_id=~.*"]},
        {"ends_at": after(days=90)},
        {"created_by": ""},
        {"ends_at": None},
    ):
        answer = api.post(PATH, json=order(device) | changes)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_silenced_line_makes_no_incident_and_is_counted(sink, api, device):
    added = api.post(PATH, json=order(device)).json()
    hidden = []

    async def send() -> str:
        line = entry(device, "EXT4-fs error (device sda1)", service="kernel")
        await sink.send([line])
        return line.tracking_id

    def trace(tracking_id: str) -> dict:
        return api.get(f"/api/v3/trace/{tracking_id}").json()

    for _ in range(10):  # the first may overtake the news of the silence
        tracking_id = await send()
        wait_until(lambda t=tracking_id: trace(t).get("status") in ("suppressed", "complete"))
        if trace(tracking_id)["status"] == "suppressed":
            hidden.append(tracking_id)
        if len(hidden) == 2:
            break
    assert trace(hidden[0])["suppressed"]["by"] == added["id"]
    assert api.get(f"{PATH}/{added['id']}").json()["hidden"] == 2
    said = api.get("/api/v3/stats/suppressions").json()
    [rule] = [rule for rule in said["by_rule"] if rule["rule"] == added["id"]]
    assert (rule["kind"], rule["hidden"], rule["in_force"]) == ("silence", 2, True)
