"""Requests -> answers, over the store and the bus in memory."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from aiops_core.adapters.clickhouse_errors import QueryFailed, TookTooLong
from aiops_core.errors import Misconfigured, Unavailable
from aiops_core.runtime.service import utc_now
from incident_api import recorder
from incident_api.app import build
from incident_api.guard import parse_tokens
from incident_api.policy import SloPolicy
from incident_api.web import web
from tests.api_parts import Platform, empty_tables, platform_on, recovered
from tests.api_parts import platform as in_memory
from tests.incident_cases import (
    at,
    cleared,
    created,
    detected,
    digested,
    enriched,
    evidence,
    explained,
    handle,
    suppressed,
    updated,
)

LOCAL = "http://127.0.0.1"
API = "/api/v3"


@pytest.fixture
async def platform() -> Platform:
    return await recovered(in_memory())


@pytest.fixture
async def on_clickhouse(clickhouse_url: str) -> AsyncIterator[Platform]:
    async with empty_tables(clickhouse_url) as clickhouse:
        yield await recovered(platform_on(clickhouse))


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.client() as client:
        yield client


@pytest.fixture
async def full_client(on_clickhouse: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with on_clickhouse.client() as client:
        yield client


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """The problem document of *answer*, which must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json()
    assert document["status"] == status
    assert document["title"] and document["detail"]
    assert document["instance"] == answer.request.url.path
    return document


async def test_an_incident_is_listed_and_shown_with_all_that_is_known(platform, client):
    await platform.after(created(), updated(2, *range(1, 80)), explained())
    (listed,) = (await client.get(f"{API}/incidents")).json()["items"]
    assert (listed["id"], listed["anomaly_count"], listed["status"]) == ("i1", 80, "open")
    shown = (await client.get(f"{API}/incidents/i1")).json()
    assert len(shown["evidence"]) == 50
    assert shown["tracking_ids"] == [f"t{n}" for n in range(80)]
    assert shown["llm_insights"]["source"] == "rules"
    assert shown["similar_incidents"][0]["id"] == "old"


async def test_pages_are_stable_while_incidents_arrive(platform, client):
    await platform.after(*(created(f"i{n}", n) for n in range(5)))
    seen, cursor = [], None
    for arrival in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"{API}/incidents", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        await platform.after(created(f"new-{arrival}", 100 + arrival))
    assert seen == ["i4", "i3", "i2", "i1", "i0"]
    assert cursor is None


async def test_filters_combine(platform, client):
    await platform.after(created(), created("i2", 2, severity="low"), cleared(2, "i2"))
    params = {"status": ["open", "resolved"], "severity": "low", "since": at(1).isoformat()}
    found = (await client.get(f"{API}/incidents", params=params)).json()["items"]
    assert [item["id"] for item in found] == ["i2"]


async def test_evidence_and_timeline_come_in_pages(platform, client):
    await platform.after(created(), updated(2, 1, 2), cleared(3))
    page = (await client.get(f"{API}/incidents/i1/evidence", params={"limit": 2})).json()
    assert [item["tracking_id"] for item in page["items"]] == ["t2", "t1"]
    rest = await client.get(f"{API}/incidents/i1/evidence", params={"cursor": page["next_cursor"]})
    assert [item["tracking_id"] for item in rest.json()["items"]] == ["t0"]
    timeline = (await client.get(f"{API}/incidents/i1/timeline")).json()
    assert [item["kind"] for item in timeline["items"]] == ["created", "updated", "cleared"]
    assert timeline["next_cursor"] is None


async def test_the_way_of_an_incident_through_the_hands_of_operators(platform, client):
    await platform.after(created())
    user = {"X-Grafana-User": "mate"}
    acked = await client.post(f"{API}/incidents/i1/ack", json={"comment": "on it"}, headers=user)
    assert acked.json()["status"] == "ack"
    listed = (await client.get(f"{API}/incidents", params={"status": "ack"})).json()["items"]
    assert len(listed) == 1  # a list reads what was written just now
    edit = {"assignee": "eto", "severity": "critical", "title": "Core switch"}
    assert (await client.patch(f"{API}/incidents/i1", json=edit)).json()["assignee"] == "eto"
    body = {"resolve_reason": "cable replaced"}
    resolved = (await client.post(f"{API}/incidents/i1/resolve", json=body)).json()
    assert (resolved["status"], resolved["resolve_reason"]) == ("resolved", "cable replaced")
    assert (await client.post(f"{API}/incidents/i1/reopen")).json()["status"] == "open"
    said = await client.post(f"{API}/incidents/i1/comments", json={"comment": "watching"})
    assert said.status_code == 201
    facts = [m for m in platform.bus.published if m.subject == "incidents.transitioned"]
    assert [(m.kind, m.change) for m in facts] == [
        ("ack", 1),
        ("edit", 2),
        ("resolve", 3),
        ("reopen", 4),
        ("comment", 5),
    ]
    assert facts[0].actor == "mate"
    version = platform.store.incidents["i1"].version
    await platform.after(*facts)  # as they come back from the stream
    assert platform.store.incidents["i1"].version == version
    assert len(platform.store.events) == 6


async def test_a_repeated_request_changes_nothing(platform, client):
    await platform.after(created())
    for _ in range(2):
        assert (await client.post(f"{API}/incidents/i1/ack")).status_code == 200
    assert len(platform.bus.published) == 1


async def test_a_resolved_incident_is_not_acknowledged(platform, client):
    await platform.after(created(), cleared(2))
    document = problem(await client.post(f"{API}/incidents/i1/ack"), 409)
    assert "is resolved" in str(document["detail"])
    assert platform.bus.published == []


async def test_an_open_incident_is_not_reopened(platform, client):
    await platform.after(created())
    problem(await client.post(f"{API}/incidents/i1/reopen"), 409)


async def test_two_requests_at_once_are_one_after_the_other(platform, client):
    await platform.after(created())
    texts = [f"comment {n}" for n in range(8)]
    await asyncio.gather(
        *(client.post(f"{API}/incidents/i1/comments", json={"comment": text}) for text in texts)
    )
    changes = [m.change for m in platform.bus.published]
    assert changes == list(range(1, 9))
    stored = platform.recorder.registry.known("i1")
    assert {e.text for e in stored.incident.timeline if e.kind == "comment"} == set(texts)


async def test_an_incident_is_merged_into_another_and_goes_on_there(platform, client):
    await platform.after(created(), created("i2", 2))
    body = {"into": "i2", "comment": "the same switch"}
    for _ in range(2):  # repeating it changes nothing
        merged = (await client.post(f"{API}/incidents/i1/merge", json=body)).json()
    assert (merged["status"], merged["resolve_reason"]) == ("resolved", "merged into i2")
    [fact] = platform.bus.published
    assert (fact.kind, fact.merged_into, fact.comment) == ("merge", "i2", "the same switch")
    assert merged["timeline"][-1]["text"] == "the same switch; merged into i2"
    assert (await client.get(f"{API}/incidents/i2")).json()["status"] == "open"
    refused = problem(await client.post(f"{API}/incidents/i1/reopen"), 409)
    assert refused["detail"] == "incident i1 was merged into i2; go on there"


@pytest.mark.parametrize(
    ("incident", "into", "status", "words"),
    [
        ("i1", "i1", 422, "into itself"),
        ("i1", "nobody", 404, "there is no incident nobody"),
        ("nobody", "i1", 404, "there is no incident nobody"),
        ("i1", "closed", 409, "incident closed is resolved; reopen it first"),
        ("closed", "i1", 409, "only one that is open can be merged"),
        ("i1", "abroad", 409, "is of another ship"),
    ],
)
async def test_what_cannot_be_merged_is_refused(platform, client, incident, into, status, words):
    await platform.after(
        created(), created("closed", 2), cleared(2, "closed"), created("abroad", 3, ship_id="s-9")
    )
    answer = await client.post(f"{API}/incidents/{incident}/merge", json={"into": into})
    assert words in str(problem(answer, status)["detail"])
    assert platform.bus.published == []


async def test_two_cannot_be_merged_into_each_other_at_once(platform, client):
    await platform.after(created(), created("i2", 2))
    pairs = [("i1", "i2"), ("i2", "i1")]
    answers = await asyncio.gather(
        *(client.post(f"{API}/incidents/{a}/merge", json={"into": b}) for a, b in pairs)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_reported_incident_is_visible_at_once_and_goes_to_be_explained(platform, client):
    new = {"title": "Smoke in the rack", "severity": "critical", "affected_devices": ["rack-1"]}
    answer = await client.post(f"{API}/incidents", json=new)
    assert answer.status_code == 201
    address = answer.headers["location"]
    shown = (await client.get(address)).json()
    assert (shown["title"], shown["category"], shown["ship_id"]) == (
        "Smoke in the rack",
        "manual",
        "ship-1",
    )
    assert len((await client.get(f"{API}/incidents")).json()["items"]) == 1
    (message,) = platform.bus.published
    assert (message.subject, message.id) == ("incidents.created", shown["id"])
    await platform.after(message)
    assert platform.store.incidents[shown["id"]].version == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/incidents?limit=0", None),
        ("GET", "/incidents?limit=501", None),
        ("GET", "/incidents?status=broken", None),
        ("GET", "/incidents?since=yesterday", None),
        ("GET", "/incidents?cursor=nonsense", None),
        ("GET", "/incidents?cursor=WyJhIiwxXQ", None),
        ("GET", "/stats?time_range=1y", None),
        ("GET", "/stats?time_range=0h", None),
        ("GET", "/stats/type?time_range=9999d", None),
        ("POST", "/incidents", {"title": ""}),
        ("POST", "/incidents", {"title": "x", "colour": "red"}),
        ("PATCH", "/incidents/i1", {}),
        ("POST", "/incidents/i1/comments", {"comment": "   "}),
    ],
)
async def test_mistakes_in_a_request_are_named(platform, client, method, path, body):
    await platform.after(created())
    document = problem(await client.request(method, API + path, json=body), 422)
    assert any(word in str(document["detail"]) for word in ("query.", "body"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/incidents/nobody"),
        ("GET", "/incidents/nobody/timeline"),
        ("GET", "/incidents/nobody/evidence"),
        ("POST", "/incidents/nobody/ack"),
        ("GET", "/nothing/here"),
    ],
)
async def test_what_is_not_there_is_404(client, method, path):
    problem(await client.request(method, API + path), 404)


async def test_a_wrong_method_is_a_problem_too(client):
    problem(await client.delete(f"{API}/incidents"), 405)


async def test_broken_json_is_a_problem_too(client):
    headers = {"content-type": "application/json"}
    answer = await client.post(f"{API}/incidents", content=b"{", headers=headers)
    problem(answer, 422)


async def test_what_memory_cannot_know_is_503_while_the_store_is_away_and_says_when_to_try_again(
    platform, client
):
    await platform.after(created())
    platform.store.problem = "clickhouse does not answer"
    paths = ("/incidents/other", "/incidents/other/timeline", "/incidents/other/evidence")
    for path in (*paths, "/incidents?tracking_id=other"):
        answer = await client.get(API + path)
        problem(answer, 503)
        assert answer.headers["retry-after"]
    problem(await client.post(f"{API}/incidents/other/ack"), 503)
    platform.bus.connected = False
    problem(await client.get(f"{API}/stats"), 503)
    problem(await client.post(f"{API}/incidents/i1/ack"), 503)
    assert platform.bus.published == []


async def test_a_whole_answer_does_not_say_partial(platform, client):
    await platform.after(created())
    for path in ("", "/i1", "/i1/timeline", "/i1/evidence"):
        assert (await client.get(f"{API}/incidents{path}")).json()["partial"] is None


async def test_while_the_store_is_away_memory_answers_and_says_that_it_is_partial(platform, client):
    grew = updated(2, 1, 2, reason="the same switch")
    await platform.after(created(), grew, created("i2", 9, severity="low"), cleared(3))
    platform.store.problem = "clickhouse does not answer"
    listed = (await client.get(f"{API}/incidents")).json()
    assert [one["id"] for one in listed["items"]] == ["i2", "i1"]
    shown = (await client.get(f"{API}/incidents/i1")).json()
    assert (shown["status"], shown["tracking_ids"]) == ("resolved", ["t0", "t1", "t2"])
    timeline = (await client.get(f"{API}/incidents/i1/timeline")).json()
    assert [one["kind"] for one in timeline["items"]] == ["created", "updated", "cleared"]
    evidence = (await client.get(f"{API}/incidents/i1/evidence")).json()
    assert [one["tracking_id"] for one in evidence["items"]] == ["t2", "t1", "t0"]
    for answer in (listed, shown, timeline, evidence):
        assert answer["partial"].startswith("clickhouse does not answer; ")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"status": "resolved"}, ["i2"]),
        ({"severity": "low"}, ["i2"]),
        ({"category": "network", "ship_id": "ship-1", "service": "switchd"}, ["i3", "i2", "i1"]),
        ({"category": "other"}, []),
        ({"device_id": "sw-2"}, ["i2"]),
        ({"tracking_id": "t3"}, ["i3"]),
        ({"since": at(3).isoformat()}, ["i3"]),
        ({"until": at(1).isoformat()}, ["i1"]),
        ({"q": "LINK down"}, ["i3", "i2", "i1"]),
        ({"q": "sw-3"}, ["i3"]),
    ],
)
async def test_memory_answers_the_same_filters_as_the_store(platform, client, where, found):
    await platform.after(
        created("i1", 1), created("i2", 2, severity="low"), created("i3", 3), cleared(2, "i2")
    )
    for problem in (None, "away"):
        platform.store.problem = problem
        listed = (await client.get(f"{API}/incidents", params=where)).json()
        assert [one["id"] for one in listed["items"]] == found
        assert bool(listed["partial"]) == bool(problem)


@pytest.mark.parametrize("path", ["", "/i1/evidence", "/i1/timeline"])
async def test_pages_of_memory_are_those_of_the_store(platform, client, path):
    facts = [updated(n, n, reason="the same switch") for n in range(2, 7)]
    await platform.after(created(), *facts, *(created(f"j{n}", 20 + n) for n in range(5)))
    seen: dict[str | None, list[object]] = {}
    for problem in (None, "away"):
        platform.store.problem, cursor, items = problem, None, []
        for _ in range(4):
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"{API}/incidents{path}", params=params)).json()
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        seen[problem] = items
    assert len(seen[None]) == 6
    assert seen["away"] == seen[None]


async def test_while_the_store_is_away_operators_go_on_and_all_is_stored_afterwards(
    platform, client
):
    await platform.after(created())
    platform.store.problem = "clickhouse does not answer"
    acked = await client.post(f"{API}/incidents/i1/ack", json={"comment": "on it"})
    assert (acked.status_code, acked.json()["status"]) == (200, "ack")
    assert acked.json()["partial"]
    reported = await client.post(f"{API}/incidents", json={"title": "Modem reboots"})
    assert reported.status_code == 201
    assert len(platform.bus.published) == 2
    listed = (await client.get(f"{API}/incidents", params={"status": ["ack", "open"]})).json()
    assert len(listed["items"]) == 2
    platform.store.problem = None
    await platform.recorder.write()
    assert sorted(row.status for row in platform.store.incidents.values()) == ["ack", "open"]
    assert {row.kind for row in platform.store.events.values()} == {"created", "ack"}


async def test_a_store_that_takes_nothing_is_read_together_with_what_is_in_memory(
    platform, client, monkeypatch
):
    await platform.after(created(), created("i2", 2))
    written = platform.store.write

    async def refuse(batch):
        raise Unavailable("clickhouse code 243: not enough space")

    monkeypatch.setattr(platform.store, "write", refuse)
    await handle(platform.recorder, updated(2, 1), cleared(2, "i2"), created("i3", 3))
    with pytest.raises(Unavailable):
        await platform.recorder.write()
    listed = (await client.get(f"{API}/incidents", params={"status": "open"})).json()
    assert [one["id"] for one in listed["items"]] == ["i3", "i1"]
    assert listed["partial"] is None
    first = (await client.get(f"{API}/incidents", params={"limit": 1})).json()
    assert first["items"][0]["id"] == "i3" and first["next_cursor"]
    shown = (await client.get(f"{API}/incidents/i1")).json()
    assert shown["tracking_ids"] == ["t0", "t1"]
    evidence = (await client.get(f"{API}/incidents/i1/evidence")).json()["items"]
    assert [one["tracking_id"] for one in evidence] == ["t1", "t0"]
    timeline = (await client.get(f"{API}/incidents/i2/timeline")).json()["items"]
    assert [one["kind"] for one in timeline] == ["created", "cleared"]
    by_line = await client.get(f"{API}/incidents", params={"tracking_id": "t2"})
    assert [one["status"] for one in by_line.json()["items"]] == ["resolved"]
    monkeypatch.setattr(platform.store, "write", written)
    await platform.recorder.write()
    assert platform.store.incidents["i1"].anomaly_count == 2


async def test_members_that_have_moved_and_are_not_stored_are_where_they_are_now(
    platform, client, monkeypatch
):
    await platform.after(created(), updated(2, 1), created("i2", 5))

    async def refuse(batch):
        raise Unavailable("clickhouse code 243: not enough space")

    monkeypatch.setattr(platform.store, "write", refuse)
    moved = updated(2, 1, incident="i2", moved_from=("i1",))
    members = tuple(one.but(moved_from="i1") for one in moved.members)
    departed = updated(3, departed=tuple(one.anomaly_id for one in members))
    await handle(platform.recorder, moved.but(members=members), departed)
    with pytest.raises(Unavailable):
        await platform.recorder.write()
    for incident, lines in (("i1", ["t0"]), ("i2", ["t5", "t1"])):
        evidence = (await client.get(f"{API}/incidents/{incident}/evidence")).json()["items"]
        assert [one["tracking_id"] for one in evidence] == lines


async def test_a_read_that_takes_too_long_is_504_with_one_sentence(platform, client, monkeypatch):
    await platform.after(created())

    async def slow(*_: object) -> None:
        raise TookTooLong("reading took longer than 10 s; ask for less")

    for name in ("page", "timeline", "evidence"):
        monkeypatch.setattr(platform.store, name, slow)
    for path in ("", "/i1/timeline", "/i1/evidence"):
        document = problem(await client.get(f"{API}/incidents{path}"), 504)
        assert document["detail"] == "reading took longer than 10 s; ask for less"


async def test_a_refused_query_is_503_and_names_the_reason(platform, client, monkeypatch):
    async def refuse(*_: object) -> None:
        raise QueryFailed("clickhouse code 60: no table aiops.devices", 60)

    monkeypatch.setattr(platform.components.stats, "incidents", refuse)
    document = problem(await client.get(f"{API}/stats/severity"), 503)
    assert "code 60" in str(document["detail"])


async def test_changes_that_cannot_be_stored_wait_up_to_a_bound(platform, client, monkeypatch):
    monkeypatch.setattr(recorder, "WAITING", 3)
    platform.store.problem = "away"
    codes = [
        (await client.post(f"{API}/incidents", json={"title": f"n{n}"})).status_code
        for n in range(4)
    ]
    assert codes == [201, 201, 503, 503]
    assert len(platform.bus.published) == 2


async def test_before_it_has_recovered_it_says_so(platform, client):
    platform.recorder.recovered = False
    for path in ("/incidents", "/stats", "/trace/t1"):
        assert "starting" in str(problem(await client.get(API + path), 503)["detail"])


async def test_a_bug_is_500_without_a_traceback_for_the_client(platform, client, capsys):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    platform.store.page = broken  # type: ignore[method-assign]
    answer = await client.get(f"{API}/incidents")
    assert "secret" not in json.dumps(problem(answer, 500))
    logged = capsys.readouterr()
    assert "secret detail" in logged.out + logged.err


async def test_stats_have_exactly_the_agreed_keys(on_clickhouse, full_client):
    now = datetime.now(UTC)
    fresh = {"stages": {"ingest": now, "correlate": now}}
    incident = created(evidence=(evidence(0, **fresh),), **fresh)
    await on_clickhouse.after(detected(), enriched(), incident, suppressed(8))
    stats = (await full_client.get(f"{API}/stats", params={"time_range": "15m"})).json()
    assert set(stats) == {
        "time_range",
        "total",
        "by_severity",
        "by_status",
        "by_category",
        "fast_path",
        "insight_path",
        "fast_path_latency_p99",
        "insight_path_latency_p99",
    }
    assert stats["total"] == 1
    assert stats["by_severity"] == {"low": 0, "medium": 0, "high": 1, "critical": 0}
    assert stats["by_category"] == {"network": 1}
    path = stats["fast_path"]
    assert set(path) == {"processed", "errors", "latency_ms", "slo_ms", "compliance"}
    assert set(path["latency_ms"]) == {"p50", "p95", "p99"}
    assert (path["processed"], path["slo_ms"]) == (2, 100)
    assert stats["fast_path_latency_p99"] == path["latency_ms"]["p99"]
    assert stats["insight_path"]["compliance"] is None


async def test_dead_letters_are_the_errors_of_their_path(on_clickhouse, full_client):
    on_clickhouse.bus.put("dead.enrichment-service", b"{")
    on_clickhouse.bus.put("dead.llm-enricher", b"{")
    stats = (await full_client.get(f"{API}/stats")).json()
    assert (stats["fast_path"]["errors"], stats["insight_path"]["errors"]) == (1, 1)


async def test_the_breakdowns(on_clickhouse, full_client):
    now = datetime.now(UTC)
    fresh = {"stages": {"ingest": now, "correlate": now}}
    members = (
        evidence(0, **fresh),
        evidence(1, role="duplicate", duplicate_of="a0", fingerprint="f0", **fresh),
    )
    await on_clickhouse.after(
        enriched(0), created(evidence=members, **fresh), suppressed(5), suppressed(6)
    )
    said = {name: (await full_client.get(f"{API}/stats/{name}")).json() for name in NAMES}
    assert said["severity"]["anomalies"]["high"] == 1
    assert said["type"] == {
        "time_range": "1h",
        "anomalies": {"link_down": 1},
        "incidents": {"network": 1},
    }
    assert (said["duplicates"]["members"], said["duplicates"]["duplicates"]) == (1, 1)
    (group,) = said["duplicates"]["top"]
    assert (group["incident_id"], group["member"], group["fingerprint"]) == ("i1", "a0", "f0")
    for name in ("duplicates", "suppressions"):
        balance = said[name]["balance"]
        ended = [balance[k] for k in ("members", "duplicates", "suppressed", "unaccounted")]
        assert (ended, balance["detected"]) == ([1, 1, 2, 0], 4)
    rule = said["suppressions"]["by_rule"][0]
    assert (rule["rule"], rule["hidden"], rule["by_type"]) == ("dock-noise", 2, {"link_down": 2})


NAMES = ("severity", "type", "duplicates", "suppressions")


async def test_a_trace_has_exactly_the_four_stages_and_what_they_are_about(
    on_clickhouse, full_client
):
    await on_clickhouse.after(detected(), enriched(), created(), explained())
    await store_line(on_clickhouse)
    trace = (await full_client.get(f"{API}/trace/t0")).json()
    assert set(trace) == {
        "tracking_id",
        "status",
        "total_latency_ms",
        "stages",
        "insight",
        "log",
        "anomaly",
        "incident",
        "suppressed",
        "digested",
    }
    assert list(trace["stages"]) == ["detect", "enrich", "correlate", "store"]
    assert [trace["stages"][s]["latency_ms"] for s in ("detect", "enrich", "correlate")] == [1] * 3
    total = sum(stage["latency_ms"] for stage in trace["stages"].values())
    assert trace["total_latency_ms"] == pytest.approx(total)
    assert trace["status"] == "complete"
    assert trace["anomaly"]["msg"] == trace["log"]["msg"] == "link down on port 0"
    assert trace["incident"]["id"] == "i1"
    assert trace["insight"]["source"] == "rules"


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ((), "not_anomalous"),
        ((detected(),), "in_progress"),
        ((detected(), enriched(), suppressed()), "suppressed"),
        ((digested(),), "digested"),
        ((suppressed(), digested()), "suppressed"),
    ],
)
async def test_a_trace_says_how_far_its_line_came(on_clickhouse, full_client, messages, status):
    await store_line(on_clickhouse)
    await on_clickhouse.after(*messages)
    trace = (await full_client.get(f"{API}/trace/t0")).json()
    assert trace["status"] == status
    assert list(trace["stages"]) == ["detect", "enrich", "correlate", "store"]
    assert trace["incident"] is None


async def test_a_digested_line_says_what_was_found_and_why_it_opened_nothing(
    on_clickhouse, full_client
):
    await on_clickhouse.after(digested())
    trace = (await full_client.get(f"{API}/trace/t0")).json()
    assert trace["digested"]["reason"] == "Known here: once."
    assert trace["anomaly"] is None and trace["stages"]["detect"]["ts"]
    assert trace["stages"]["store"]["ts"] and trace["stages"]["correlate"]["ts"] is None


async def test_the_digest_of_a_day_is_read_by_device(on_clickhouse, full_client):
    await on_clickhouse.after(digested(1), digested(2))
    day = (await full_client.get(f"{API}/digest?day=2026-06-01&device=SW-1")).json()
    assert [(one["device"], one["number"]) for one in day["items"]] == [("sw-1", 1)]
    assert (day["day"], day["device"], day["number"]) == ("2026-06-01", "SW-1", 1)
    assert (await full_client.get(f"{API}/digest")).json()["items"] == []  # of today
    for wrong in ("1969-12-31", "2100-01-01", "noon"):
        problem(await full_client.get(f"{API}/digest?day={wrong}"), 422)


async def test_without_the_store_there_is_no_digest(client):
    problem(await client.get(f"{API}/digest"), 503)


async def test_a_line_that_nobody_knows_has_no_trace(full_client):
    problem(await full_client.get(f"{API}/trace/nobody"), 404)


async def store_line(platform: Platform) -> None:
    """As Vector does."""
    msg = "link down on port 0"
    row = {
        "tracking_id": "t0",
        "ship_id": "ship-1",
        "ts": at(0),
        "ingestion_timestamp": utc_now() - timedelta(minutes=1),  # rows of June have expired
        "host": "host-0",
        "device_id": "sw-0",
        "service": "switchd",
        "level": "error",
        "msg": msg,
        "source": "file",
        "raw": msg,
    }
    clickhouse = platform.components.store._clickhouse
    await clickhouse.execute("TRUNCATE TABLE logs.raw")
    await clickhouse.insert("logs.raw", tuple(row), [tuple(row.values())])


async def test_without_tokens_only_this_host_is_served(platform):
    async with platform.client(peer="10.1.2.3") as client:
        problem(await client.get(f"{API}/incidents"), 403)
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ready")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        async with platform.client(**headers) as client:
            problem(await client.get(f"{API}/incidents"), 403)
    async with platform.client(peer="::1", origin="http://localhost:3000") as client:
        assert (await client.get(f"{API}/incidents")).status_code == 200


async def test_with_tokens_the_role_decides(platform):
    await platform.after(created())
    tokens = "viewer:look-only-1, operator:hands-on-2"
    async with platform.client(peer="10.1.2.3", tokens=tokens) as client:
        answer = await client.get(f"{API}/incidents")
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem(await client.get(f"{API}/incidents", headers=bearer("wrong-wrong")), 401)
        look, hands = bearer("look-only-1"), bearer("hands-on-2")
        assert (await client.get(f"{API}/incidents", headers=look)).status_code == 200
        problem(await client.post(f"{API}/incidents/i1/ack", headers=look), 403)
        assert (await client.post(f"{API}/incidents/i1/ack", headers=hands)).status_code == 200
    (fact,) = platform.bus.published
    assert fact.actor == "operator"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("text", ["king:longenough", "viewer:short", "nonsense"])
def test_a_mistake_in_the_tokens_stops_the_start(text):
    with pytest.raises(Misconfigured, match="AIOPS_API_TOKENS"):
        parse_tokens(text)


@pytest.mark.parametrize("token", ["change-me-api-token", "CHANGE-ME-please"])
def test_a_token_that_everybody_knows_stops_the_start(token):
    with pytest.raises(Misconfigured, match=r"the token of operator is the placeholder") as refused:
        parse_tokens(f"viewer:look-only-1,operator:{token}")
    assert token not in str(refused.value)


async def test_every_operation_is_described(platform):
    schema = build(platform.components).openapi()
    operations = [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 17
    for path, method, operation in operations:
        assert operation["summary"], path
        good = next(v for k, v in operation["responses"].items() if k.startswith("2"))
        assert good["content"], (path, method)
        for status, response in operation["responses"].items():
            if path.startswith(API) and status[0] in "45":
                assert "application/problem+json" in response["content"]
    known = schema["components"]["schemas"]
    named = [part.split('"')[0] for part in json.dumps(schema).split("#/components/schemas/")[1:]]
    assert set(named) <= set(known)
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)


def bodies(schema) -> Iterator[tuple[str, str, object]]:
    """Method, path and schema of every request that has a body."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if body := operation.get("requestBody"):
                filled = re.sub(r"{\w+}", "some", path)
                yield method.upper(), filled, body["content"]["application/json"]["schema"]


def objects(schema, part) -> Iterator[dict[str, object]]:
    """The objects that *part* of an OpenAPI document is made of, maps left out."""
    if isinstance(part, list):
        for one in part:
            yield from objects(schema, one)
    elif isinstance(part, dict) and "$ref" in part:
        yield from objects(schema, schema["components"]["schemas"][part["$ref"].split("/")[-1]])
    elif isinstance(part, dict):
        if "properties" in part:
            yield part
        for key, value in part.items():
            if key not in ("example", "examples", "default"):
                yield from objects(schema, value)


async def test_every_request_refuses_fields_that_it_does_not_know(platform, client):
    """A message may be of a later release; what a person sends and we do not know is a mistake."""
    await platform.components.devices.recover()
    schema = build(platform.components).openapi()
    asked = list(bodies(schema))
    assert len(asked) >= 13
    for method, path, body in asked:
        document = problem(await client.request(method, path, json={"surprise": 1}), 422)
        assert "body.surprise" in [e["field"] for e in document["errors"]], (method, path)
        for one in objects(schema, body):
            assert one["additionalProperties"] is False, (method, path, one["title"])
    device = {"id": "sw-1", "surprise": 1}
    answer = await client.post(f"{API}/devices/import", json={"devices": [device]})
    assert "body.devices.0.surprise" in str(problem(answer, 422)["errors"])


async def test_the_policy_file_is_what_the_service_reads(policies: Path):
    slo = SloPolicy.load(policies)
    assert (slo.fast_path.latency_ms, slo.insight_path.latency_ms) == (100, 5000)


async def test_a_taken_port_is_one_clear_line(platform):
    app = build(platform.components)
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{port}"):
        async with web(app)("127.0.0.1", port):
            pass
    server.close()
    async with web(app)("127.0.0.1", port), httpx.AsyncClient() as client:
        assert (await client.get(f"{LOCAL}:{port}/health")).json()["status"] == "ok"
    async with web(app)("127.0.0.1", port):
        pass  # the port is free again
