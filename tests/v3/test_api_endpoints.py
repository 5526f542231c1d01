"""The incident endpoints as a client sees them."""

import time

import httpx
import pytest

from tests.fleet import wait_until
from tests.v3.conftest import entry, incident_with, incidents_of

NEW = {"title": "Fuel pump display is dark", "severity": "high", "domain": "system"}


@pytest.fixture
def made(api, device):
    answer = api.post("/api/v3/incidents", json=NEW | {"affected_devices": [device]})
    assert answer.status_code == 201
    return answer.json()


def test_an_incident_made_by_hand_is_there_at_once(api, made, device):
    assert api.get(f"/api/v3/incidents/{made['id']}").json()["title"] == NEW["title"]
    assert [i["id"] for i in incidents_of(api, device_id=device)] == [made["id"]]


def test_its_life_from_open_to_resolved_and_back(api, made):
    url = f"/api/v3/incidents/{made['id']}"
    assert api.post(f"{url}/ack", json={"comment": "on it"}).json()["status"] == "ack"
    assert (
        api.post(f"{url}/resolve", json={"resolve_reason": "replaced"}).json()["status"]
        == "resolved"
    )
    assert api.post(f"{url}/ack").status_code == 409
    assert api.post(f"{url}/reopen").json()["status"] == "open"
    edited = api.patch(url, json={"assignee": "eto", "severity": "low"}).json()
    assert (edited["assignee"], edited["severity"]) == ("eto", "low")
    assert api.post(f"{url}/comments", json={"comment": "still dark"}).status_code in (200, 201)
    texts = [e["text"] for e in api.get(f"{url}/timeline").json()["items"]]
    assert any("still dark" in text for text in texts)


def test_the_lifecycle_survives_as_messages(api, made):
    url = f"/api/v3/incidents/{made['id']}"
    api.post(f"{url}/ack")
    version = api.get(url).json()["version"]
    time.sleep(1)  # the published fact comes back to its publisher, and must change nothing
    again = api.get(url).json()
    assert (again["status"], again["version"] - version) in (("ack", 0), ("ack", 1))


async def test_filters_select(sink, api, device):
    line = entry(device, "EXT4-fs error", service="kernel")
    await sink.send([line])
    incident = incident_with(api, line.tracking_id)
    own = {"device_id": device}
    for wanted in (
        {"status": "open"},
        {"severity": incident["severity"]},
        {"category": incident["category"]},
        {"service": "kernel"},
        {"ship_id": "testship"},
        {"q": device},
        {"since": incident["first_seen"]},
        {"until": incident["last_seen"]},
    ):
        assert [i["id"] for i in incidents_of(api, **own, **wanted)] == [incident["id"]], wanted
    for other in (
        {"status": "resolved"},
        {"category": "none"},
        {"service": "none"},
        {"ship_id": "none"},
        {"since": "2999-01-01T00:00:00Z"},
        {"until": "2000-01-01T00:00:00Z"},
    ):
        assert incidents_of(api, **own, **other) == [], other


def test_pages_are_complete_and_stable_while_incidents_arrive(api, device):
    def make(n):
        body = NEW | {"title": f"case {n}", "affected_devices": [device]}
        return api.post("/api/v3/incidents", json=body).json()["id"]

    wanted = {make(n) for n in range(7)}
    seen, cursor = [], None
    while True:
        query = {"device_id": device, "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = api.get("/api/v3/incidents", params=query).json()
        seen += [i["id"] for i in page["items"]]
        make(99)
        if not (cursor := page["next_cursor"]):
            break
    assert len(seen) == len(set(seen)) and wanted <= set(seen)


@pytest.mark.parametrize(
    ("method", "url", "body", "status"),
    [
        ("GET", "/api/v3/incidents/none", None, 404),
        ("POST", "/api/v3/incidents/none/ack", {}, 404),
        ("GET", "/api/v3/incidents?severity=awful", None, 422),
        ("GET", "/api/v3/incidents?limit=0", None, 422),
        ("GET", "/api/v3/incidents?cursor=zzz", None, 422),
        ("POST", "/api/v3/incidents", {"title": ""}, 422),
        ("POST", "/api/v3/incidents", NEW | {"surprise": 1}, 422),
        ("GET", "/api/v3/nothing", None, 404),
        ("DELETE", "/api/v3/incidents", None, 405),
    ],
)
def test_every_mistake_is_a_problem_document(api, method, url, body, status):
    answer = api.request(method, url, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and problem["title"] and problem["detail"]


def test_a_status_change_is_explained_later_by_the_insight_path(api, made):
    url = f"/api/v3/incidents/{made['id']}"
    wait_until(lambda: api.get(url).json()["llm_insights"])


def test_the_openapi_document_describes_every_endpoint(api):
    paths = api.get("/openapi.json").json()["paths"]
    assert {
        "/api/v3/incidents",
        "/api/v3/incidents/{incident_id}",
        "/api/v3/stats",
        "/api/v3/trace/{tracking_id}",
    } <= set(paths)
    assert all(op.get("summary") for path in paths.values() for op in path.values())


def test_every_request_refuses_fields_that_it_does_not_know(api):
    asked = [
        (method, path.replace("{", "").replace("}", ""))
        for path, operations in api.get("/openapi.json").json()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]
    assert len(asked) >= 13
    for method, path in asked:
        answer = api.request(method, path, json={"surprise": 1})
        assert answer.status_code == 422, (method, path, answer.text)
        assert "body.surprise" in [error["field"] for error in answer.json()["errors"]]


def test_every_service_answers_health_ready_and_metrics(fleet):
    for name, url in fleet.about["addresses"].items():
        if not url.startswith("http"):
            continue
        assert httpx.get(f"{url}/health").json()["service"] == name
        assert httpx.get(f"{url}/ready").json()["ready"] is True
        assert "aiops_messages_handled_total" in httpx.get(f"{url}/metrics").text
