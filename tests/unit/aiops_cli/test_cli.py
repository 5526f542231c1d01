"""A command line -> what is printed and the exit code. The API is a small real server."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import httpx
import pytest
from typer.testing import CliRunner

import aiops_core
from aiops_cli import COMMANDS, app, load, main
from aiops_cli.api import Api
from aiops_cli.screen import when
from aiops_core.errors import Unavailable
from aiops_core.gist import ordinal

INCIDENT = {
    "id": "i-1",
    "title": "Disk [full] on srv-1",
    "description": "",
    "severity": "high",
    "status": "open",
    "root_cause": {"device": "srv-1", "reason": "first affected"},
    "affected_devices": ["srv-1", "db-1"],
    "anomaly_count": 4,
    "first_seen": "2026-01-01T12:00:00Z",
    "last_seen": "2026-01-01T12:05:00Z",
    "evidence": [
        {
            "ts": "2026-01-01T12:00:00.123Z",
            "device_id": None,
            "host": "srv-1",
            "service": "kernel",
            "severity": "high",
            "msg": "no space left [on] device",
            "reason": "starts it",
        }
    ],
    "timeline": [{"ts": "2026-01-01T12:00:01Z", "kind": "created", "text": "first", "actor": "x"}],
    "llm_insights": {
        "root_cause": "A log of debug lines grew.",
        "impact": "Nobody can write.",
        "recommendations": ["Find the largest file.", "Rotate it."],
        "narrative": "The disk is full.",
        "missing": ["model: its queue is full"],
    },
}
AGAIN = INCIDENT | {
    "id": "i-2",
    "title": "logrotate exits abnormally on combo",
    "occurrence": 43,
    "cadence": "daily at 04:02",
    "quiet_since": "2026-01-01T04:02:00Z",
    "recurrence": {
        "problem_id": "p-1",
        "occurrence": 43,
        "cadence": "daily at 04:02",
        "previous": "2025-12-31T04:02:00Z",
        "resolved_before": "expired: nothing more was seen",
    },
}
PROBLEM: dict[str, Any] = {
    "id": "p-1",
    "title": "logrotate [cron] exits abnormally on combo",
    "severity": "medium",
    "devices": ["combo", "db-1"],
    "root_device": None,
    "times": 43,
    "cadence": "daily at 04:02",
    "open": True,
    "quiet_since": "2026-01-01T04:02:00Z",
    "incidents": 2,
    "newest_incident": "i-2",
    "first_seen": "2025-11-20T04:02:00Z",
    "last_seen": "2026-01-01T04:02:00Z",
}
PROBLEM_SHOWN = PROBLEM | {
    "endings": [{"ending": "expired", "number": 42, "last": "2026-01-01T04:02:00Z"}],
    "occurrences": [
        {
            "number": 43,
            "incident_id": "i-2",
            "began": "2026-01-01T04:02:00Z",
            "ended": None,
            "duration_s": None,
            "severity": "medium",
            "devices": 1,
            "ending": "",
            "note": "",
        },
        {
            "number": 42,
            "incident_id": "i-1",
            "began": "2025-12-31T04:02:00Z",
            "ended": "2025-12-31T07:02:00Z",
            "duration_s": 10800.0,
            "severity": "medium",
            "devices": 2,
            "ending": "resolved",
            "note": "eto: [new] script",
        },
    ],
    "newest_incidents": [AGAIN],
}
TRACE = {
    "tracking_id": "t-1",
    "status": "complete",
    "total_latency_ms": 17.25,
    "stages": {"detect": {"ts": "2026-01-01T12:00:00Z", "latency_ms": 3.0}},
    "log": {"msg": "no space left"},
    "anomaly": {"reason": "says so"},
    "incident": {"id": "i-1", "title": "Disk full"},
}
STATS = {
    "total": 3,
    "by_severity": {"high": 3},
    "fast_path": {
        "processed": 9,
        "errors": 0,
        "latency_ms": {"p50": 5.0, "p95": 9.0, "p99": 11.0},
        "slo_ms": 100,
        "compliance": 0.995,
    },
    "insight_path": {},
}
LEDGER: dict[str, Any] = {
    "since": "2026-01-01T11:00:00Z",
    "until": "2026-01-01T12:00:00Z",
    "settled_after_s": 60,
    "balanced": True,
    "balance": {
        "detected": 2000,
        "members": 100,
        "duplicates": 1890,
        "suppressed": 4,
        "digested": 0,
        "dead_letters": 1,
        "in_flight": 5,
        "unaccounted": 0,
        "unread": 0,
        "doubled": 0,
    },
    "unaccounted": [],
    "doubled": [],
    "dead_letters": [
        {
            "anomaly_id": "a-9",
            "tracking_id": "t-9",
            "service": "enrichment-service",
            "reason": "no [such] ship",
            "at": "2026-01-01T11:59:00Z",
        }
    ],
}
LOST = {
    "anomaly_id": "a-1",
    "tracking_id": "t-1",
    "device_id": "sw-1",
    "service": "switchd",
    "anomaly_type": "link_down",
    "seen_at": "2026-01-01T11:30:00Z",
    "last_stage": "enrich",
    "stages": {"enrich": "2026-01-01T11:30:00.2Z", "detect": "2026-01-01T11:30:00.1Z"},
}
UNBALANCED = LEDGER | {
    "balanced": False,
    "balance": LEDGER["balance"] | {"unaccounted": 8, "unread": 5, "doubled": 1},
    "unaccounted": [LOST],
    "doubled": [{"anomaly_id": "a-2", "tracking_id": "t-2", "places": ["i-1", "i-2"]}],
}
DIGEST = {
    "day": "2026-01-01",
    "device": "",
    "number": 1074,
    "messages": 3,
    "items": [
        {
            "device": "srv-1",
            "service": "ecdis-gw",
            "component": "",
            "template": "chart [<*>] is locked",
            "msg": "chart [7] is locked",
            "number": 1073,
            "first": "2026-01-01T00:02:11Z",
            "last": "2026-01-01T23:58:40Z",
            "severity": "medium",
        },
        {
            "device": "sw-1",
            "service": "",
            "component": "fan 2",
            "template": "",
            "msg": "turns slowly",
            "number": 1,
            "first": "2026-01-01T04:00:00Z",
            "last": "2026-01-01T04:00:00Z",
            "severity": "low",
        },
    ],
}
SUPPRESSIONS = {
    "time_range": "1h",
    "total": 7,
    "by_rule": [
        {
            "rule": "bench",
            "kind": "rule",
            "reason": "test [bench]",
            "in_force": True,
            "hidden": 7,
            "by_type": {"link_down": 7},
            "last_matched_at": "2026-01-01T12:00:00Z",
        },
        {
            "rule": "idle",
            "kind": "inhibition",
            "reason": "",
            "in_force": True,
            "hidden": 0,
            "by_type": {},
            "last_matched_at": None,
        },
    ],
}


class FakeApi(BaseHTTPRequestHandler):
    """Answers like incident-api, and remembers what it was asked."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []
    tokens: ClassVar[dict[str, int]] = {}  # bearer token -> status that it gets; empty: all may
    answers: ClassVar[dict[str, Any]] = {
        "/api/v3/incidents": {"items": [INCIDENT], "next_cursor": None},
        "/api/v3/incidents/i-1": INCIDENT,
        "/api/v3/incidents/i-1/ack": INCIDENT | {"status": "ack"},
        "/api/v3/incidents/i-1/resolve": INCIDENT | {"status": "resolved"},
        "/api/v3/incidents/i-1/merge": INCIDENT | {"status": "resolved"},
        "/api/v3/incidents/i-2": AGAIN,
        "/api/v3/problems": {"items": [PROBLEM], "next_cursor": None},
        "/api/v3/problems/p-1": PROBLEM_SHOWN,
        "/api/v3/problems/p-1/merge": PROBLEM_SHOWN,
        "/api/v3/problems/p-1/split": PROBLEM_SHOWN,
        "/api/v3/trace/t-1": TRACE,
        "/api/v3/stats": STATS,
        "/api/v3/ledger": LEDGER,
        "/api/v3/digest": DIGEST,
        "/api/v3/stats/suppressions": SUPPRESSIONS,
    }

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        path, _, query = self.path.partition("?")
        self.asked.append((f"{self.command} {path}", query, body))
        found = self.answers.get(path)
        problem = {"title": "Not found", "detail": f"there is no {path.rsplit('/', 1)[-1]}"}
        status = 200 if found else 404
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if (refusal := self.tokens.get(token, 401 if self.tokens else 200)) != 200:
            found, status = None, refusal
            problem = {"title": f"Refused {refusal}", "detail": "for a reason"}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(found or problem).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeApi) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(*words: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, words)


def leave(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of the whole command."""
    monkeypatch.setattr(sys, "argv", ["aiops", *words])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)  # main sets its own
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_version_is_the_package_version() -> None:
    assert run("--version").output == f"aiops {aiops_core.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_as_the_list_of_commands_does(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.output
    assert load(command).help.splitlines()[0] == COMMANDS[command]


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = (
        "import sys; from aiops_cli import main; sys.argv = ['aiops', '--help']\n"
        "try: main()\n"
        "finally: print([name for name in sys.modules if name.startswith('aiops_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert all(command in done.stdout for command in COMMANDS)
    assert (
        done.stdout.splitlines()[-1]
        == "['aiops_core', 'aiops_core.errors', 'aiops_cli', 'aiops_lab', 'aiops_lab.commands']"
    )


def test_incidents_are_listed_with_root_cause_and_members(api: str) -> None:
    output = run("incidents", "--api", api, "--status", "open").output
    assert all(word in output for word in ("i-1", "Disk [full] on srv-1", "srv-1", "high", "4"))
    assert FakeApi.asked[-1][1] == "status=open&limit=50"


def test_incidents_of_a_span_are_asked_for_and_an_old_one_has_its_date(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = INCIDENT | {"first_seen": "2005-06-03T04:01:00Z", "last_seen": "2005-06-03T04:02:09Z"}
    page = {"items": [old], "next_cursor": "x"}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/incidents", page)
    words = ("--since", "2005-06-03", "--until", "2005-06-04T12:00+02:00", "--limit", "1")
    output = run("incidents", "--api", api, *words).output
    asked = dict(parse_qsl(FakeApi.asked[-1][1]))
    assert asked["since"] == "2005-06-03T00:00:00+00:00"
    assert asked["until"] == "2005-06-04T12:00:00+02:00"
    assert "2005-06-03 04:02" in output
    assert "there are more than 1: choose with --since, --until or --limit" in output


def test_a_span_of_incidents_ends_now(api: str) -> None:
    run("incidents", "--api", api, "--since", "2h")
    since = datetime.fromisoformat(dict(parse_qsl(FakeApi.asked[-1][1]))["since"])
    assert timedelta(hours=2) <= datetime.now(UTC) - since < timedelta(hours=2, minutes=1)


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_named(api: str, monkeypatch, capsys, option: str) -> None:
    assert leave(monkeypatch, "incidents", "--api", api, option, "yesterday") == 2
    assert f"{option} yesterday: not a time like" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        ("2026-06-01T11:58:00Z", "2 min ago"),
        ("2026-05-03T12:00:00Z", "29 d ago"),
        ("2005-06-03T04:02:00+02:00", "2005-06-03 02:02"),
    ],
)
def test_long_ago_is_a_date(then: str, shown: str) -> None:
    assert when(then, datetime(2026, 6, 1, 12, tzinfo=UTC)) == shown


def test_no_incidents_is_said(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FakeApi.answers, "/api/v3/incidents", {"items": []})
    assert run("incidents", "--api", api).output == "no incidents\n"


def test_an_incident_by_its_id_shows_members_history_and_insight(api: str) -> None:
    output = run("incidents", "i-1", "--api", api).output
    said = (
        *("no space left [on] device", "starts it", "first affected", "The disk is full."),
        *("A log of debug lines grew.", "Nobody can write."),
        *("1. Find the largest file.", "2. Rotate it."),
    )
    for words in (*said, "model: its queue is full"):
        assert words in output


def listed(monkeypatch: pytest.MonkeyPatch, cursor: str | None = None, *items: Any) -> None:
    answer = {"items": list(items), "next_cursor": cursor}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/incidents", answer)


def test_how_often_it_came_and_since_when_it_is_quiet_is_listed_and_shown(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, None, INCIDENT, AGAIN)
    output = run("incidents", "--api", api).output
    assert "43rd time, daily at 04:02" in output and "quiet since 2026-01-01 04:02" in output
    output = run("incidents", "i-2", "--api", api).output
    for words in (
        "43rd time, daily at 04:02",
        "2026-01-01 04:02 UTC: still open",
        "2025-12-31 04:02 UTC, ended by: expired: nothing more was seen",
        "p-1",
    ):
        assert words in output


def test_what_a_title_says_has_no_column(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "logrotate exits abnormally on combo, daily at 04:02 (43rd time)"
    listed(monkeypatch, None, AGAIN | {"title": said})
    assert "how often" not in run("incidents", "--api", api).output


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th")],
)
def test_numbers_are_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text


def test_open_ones_that_newer_ones_have_pushed_from_the_list_are_shown(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, "more", INCIDENT)
    assert "still open" not in run("incidents", "--api", api).output
    assert FakeApi.asked[-1][1] == "status=open&status=ack&limit=100"
    asked = len(FakeApi.asked)
    run("incidents", "--api", api, "--quiet")
    assert FakeApi.asked[asked:] == [
        ("GET /api/v3/incidents", "order=longest_quiet&limit=50", None)
    ]
    pages = [{"items": [INCIDENT], "next_cursor": "more"}, {"items": [INCIDENT, AGAIN]}]
    monkeypatch.setattr(Api, "get", lambda *path, **parameters: pages.pop(0))
    output = run("incidents", "--api", api).output
    assert "older ones that are still open" in output and output.count("i-1") == 1
    assert "i-2" in output


def on_device(n: int, status: str = "open", **fields: Any) -> dict[str, Any]:
    """One of the incidents of a spread over 51 devices."""
    named = {
        "id": f"i-{n}",
        "title": f"Fan failed on sw-{n}",
        "status": status,
        "affected_devices": [f"sw-{n}"],
        "root_cause": {"device": f"sw-{n}"},
    }
    return INCIDENT | named | {"spread": "s-1", "spread_devices": 51} | fields


def test_incidents_of_one_spread_are_one_row(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, None, on_device(1), on_device(2, "resolved"), on_device(3), INCIDENT)
    output = run("incidents", "--api", api).output
    assert "Fan failed on 51 devices" in output and "2 open, 1 resolved" in output
    assert output.count("s-1") == 1 and "sw-2" not in output
    assert "--spread ID shows its incidents" in output
    for words in (["--each"], ["--spread", "s-1"]):
        output = run("incidents", *words, "--api", api).output
        assert all(f"Fan failed on sw-{n}" in output for n in (1, 2, 3))
        assert "51 devices" not in output
    assert "spread=s-1" in FakeApi.asked[-1][1]
    machine = json.loads(run("incidents", "--json", "--api", api).output)
    assert [one["id"] for one in machine["items"]] == ["i-1", "i-2", "i-3", "i-1"]


def test_a_list_of_what_is_open_says_how_many_of_the_devices_are_in_it(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, None, on_device(1), on_device(2))
    output = run("incidents", "--status", "open", "--api", api).output
    assert "Fan failed on 51 devices" in output and "2 open" in output


def test_of_a_spread_one_alone_is_shown_as_it_is(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, None, on_device(1), on_device(2, spread_devices=0, spread="s-2"))
    output = run("incidents", "--api", api).output
    assert "Fan failed on sw-1" in output and "Fan failed on sw-2" in output


def test_rows_that_became_one_make_room_for_older_ones(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [
        {"items": [on_device(1), on_device(2)], "next_cursor": "a"},
        {"items": [on_device(3), INCIDENT | {"id": "i-9"}], "next_cursor": "b"},
        {"items": [on_device(3), on_device(4)], "next_cursor": None},
    ]
    asked: list[Any] = []

    def get(*path: Any, **parameters: Any) -> Any:
        asked.append(parameters.get("cursor"))
        return pages.pop(0)

    monkeypatch.setattr(Api, "get", get)
    output = run("incidents", "--limit", "2", "--api", api).output
    assert asked == [None, "a", None]  # the last: what is open of old
    assert "i-9" in output and output.count("s-1") == 1


def test_a_spread_is_a_row_among_problems_and_is_shown_with_its_parts(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = PROBLEM | {
        "id": "s-1",
        "title": "Fan failed on 51 devices",
        "spread": "s-1",
        "spread_devices": 51,
        "problems": 50,
        "open_problems": 2,
        "cadence": "",
    }
    part = PROBLEM | {"title": "Fan failed on sw-7", "spread": "s-1", "spread_devices": 51}
    empty: dict[str, Any] = {"endings": [], "occurrences": [], "newest_incidents": []}
    page = {"items": [wide], "next_cursor": None}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/problems", page)
    monkeypatch.setitem(FakeApi.answers, "/api/v3/problems/s-1", wide | empty | {"parts": [part]})
    output = run("problems", "--api", api).output
    assert "Fan failed on 51 devices" in output and output.count("51 devices") == 2
    assert "2 open" in output
    shown = run("problems", "s-1", "--api", api).output
    assert "newest 1 of 50 problems" in shown and "Fan failed on sw-7" in shown
    run("problems", "--spread", "s-1", "--api", api)
    assert FakeApi.asked[-1][1] == "spread=s-1&times=1&limit=50"


def test_problems_are_listed(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run("problems", "--open", "--device", "combo", "--text", "rotate", "--api", api).output
    assert FakeApi.asked[-1][1] == "open=true&device=combo&q=rotate&times=2&limit=50"
    for words in (
        "logrotate [cron] exits abnormally on combo",
        "combo and 1 more",
        "43",
        "daily at 04:02",
        "open, quiet since 2026-01-01 04:02",
    ):
        assert words in output
    none: dict[str, Any] = {"items": [], "next_cursor": None}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/problems", none)
    assert run("problems", "--api", api).output == "no problem came back\n"


def test_a_problem_is_shown_with_its_times_and_what_ended_it(api: str) -> None:
    for words in (["p-1"], ["show", "p-1"]):
        output = run("problems", *words, "--api", api).output
        for said in (
            "43 times, daily at 04:02",
            "expired (42 times, last 2026-01-01 04:02)",
            "goes on",
            "3 h",
            "resolved: eto: [new] script",
            "i-2",
        ):
            assert said in output


@pytest.mark.parametrize(
    ("words", "asked", "body"),
    [
        (["merge", "p-1", "p-2", "--comment", "fan"], "merge", {"into": "p-2", "comment": "fan"}),
        (["split", "p-1", "i-2"], "split", {"incident_id": "i-2"}),
    ],
)
def test_edits_of_problems_are_posted(api: str, words: list[str], asked: str, body: Any) -> None:
    assert run("problems", *words, "--api", api).exit_code == 0
    assert FakeApi.asked[-1] == (f"POST /api/v3/problems/p-1/{asked}", "", body)


@pytest.mark.parametrize(
    ("words", "asked", "body"),
    [
        (["ack", "i-1", "--comment", "mine"], "ack", {"comment": "mine"}),
        (["resolve", "i-1", "--reason", "fixed"], "resolve", {"resolve_reason": "fixed"}),
        (["merge", "i-1", "i-2", "--comment", "same"], "merge", {"into": "i-2", "comment": "same"}),
    ],
)
def test_transitions_are_posted(api: str, words: list[str], asked: str, body: Any) -> None:
    done = run("incidents", *words, "--api", api)
    assert done.exit_code == 0
    assert FakeApi.asked[-1] == (f"POST /api/v3/incidents/i-1/{asked}", "", body)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["incidents"], {"items": [INCIDENT], "next_cursor": None}),
        (["incidents", "i-1"], INCIDENT),
        (["problems"], {"items": [PROBLEM], "next_cursor": None}),
        (["problems", "p-1"], PROBLEM_SHOWN),
        (["problems", "split", "p-1", "i-2"], PROBLEM_SHOWN),
        (["trace", "t-1"], TRACE),
        (["stats"], STATS | {"suppressions": SUPPRESSIONS}),
        (["ledger"], LEDGER),
        (["ledger", "--unaccounted"], []),
    ],
)
def test_json_is_the_answer_of_the_api(api: str, words: list[str], answer: Any) -> None:
    assert json.loads(run(*words, "--api", api, "--json").output) == answer


def test_a_trace_shows_stages_and_where_it_ended(api: str) -> None:
    output = run("trace", "t-1", "--api", api).output
    assert all(w in output for w in ("complete", "17.2 ms", "detect", "3.0 ms", "i-1 Disk full"))


def test_a_balanced_ledger_shows_where_all_ended_and_ends_well(api: str) -> None:
    done = run("ledger", "--since", "24h", "--api", api)
    assert FakeApi.asked[-1] == ("GET /api/v3/ledger", "since=24h", None)
    words = (
        "1,890",
        "94.5%",
        "2,000",
        "no [such] ship",
        "in flight (younger than 60 s, or waiting)",
    )
    assert all(word in done.output for word in (*words, "The ledger balances"))
    assert done.exit_code == 0


def test_a_ledger_that_does_not_balance_names_the_lost_and_the_doubled_and_fails(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FakeApi.answers, "/api/v3/ledger", UNBALANCED)
    done = run("ledger", "--api", api)
    for words in ("sw-1", "detect > enrich", "and 2 more", "a-2", "i-1, i-2"):
        assert words in done.output
    said = "8 unaccounted for (5 of them published and never read), 1 counted twice"
    assert f"does not balance: {said}" in " ".join(done.output.split())
    assert "and 5 that a stream discarded before anybody had read them" in done.output
    assert done.exit_code == 1
    only = run("ledger", "--unaccounted", "--api", api)
    assert "t-1" in only.output and "members" not in only.output and only.exit_code == 1


def test_a_digest_shows_what_came_how_often_and_when(api: str) -> None:
    done = run("digest", "--day", "2026-01-01", "--api", api)
    assert FakeApi.asked[-1][:2] == ("GET /api/v3/digest", "day=2026-01-01&device=")
    rows = [" ".join(line.split()) for line in done.output.splitlines()]
    assert rows[0] == "1,074 findings of 2026-01-01 that opened no incident"
    assert "srv-1 ecdis-gw: chart [<*>] is locked 1,073 00:02:11 23:58:40 medium" in rows
    assert "sw-1 fan 2: turns slowly 1 04:00:00 04:00:00 low" in rows
    assert rows[-1] == "and 1 less frequent messages; name a device to see its own"
    assert json.loads(run("digest", "--api", api, "--json").output) == DIGEST


def test_a_day_without_findings_says_so(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = DIGEST | {"items": [], "number": 0, "messages": 0, "device": "srv-9"}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/digest", nothing)
    done = run("digest", "--device", "srv-9", "--api", api)
    assert done.output == "Nothing was digested on 2026-01-01 of srv-9.\n"
    assert run("digest", "--day", "yesterday-ish", "--api", api).exit_code == 2


def test_a_trace_says_why_a_line_opened_no_incident(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"anomaly_type": "log_error", "reason": "Known here: 73 times."}
    trace = TRACE | {"status": "digested", "incident": None, "digested": told}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/trace/t-1", trace)
    assert (
        "digested as log_error: Known here: 73 times." in run("trace", "t-1", "--api", api).output
    )


def test_that_nothing_is_lost_is_said(api: str) -> None:
    done = run("ledger", "--unaccounted", "--api", api)
    assert (done.output, done.exit_code) == ("nothing is unaccounted for\n", 0)


@pytest.mark.parametrize(
    ("kind", "source", "words"),
    [
        ("rule", None, "hidden by rule r: why"),
        ("silence", None, "hidden by silence r: why"),
        ("outage", None, "hidden by outage r: why"),
        ("maintenance", "w1", "hidden by rule r (maintenance): why; window w1"),
        ("inhibition", "i1", "hidden by rule r (inhibition): why; see incident i1"),
    ],
)
def test_a_trace_says_who_hid_it(
    api: str, monkeypatch: pytest.MonkeyPatch, kind: str, source: str | None, words: str
) -> None:
    hidden = {"by": "r", "kind": kind, "reason": "why", "source": source}
    trace = TRACE | {"status": "suppressed", "incident": None, "suppressed": hidden}
    monkeypatch.setitem(FakeApi.answers, "/api/v3/trace/t-1", trace)
    assert words in run("trace", "t-1", "--api", api).output.splitlines()


def test_stats_show_both_paths(api: str) -> None:
    output = run("stats", "--api", api).output
    assert all(w in output for w in ("3 incidents in 1h", "11.0 ms", "99.5% of 100 ms", "insight"))


def test_stats_show_what_was_hidden_and_which_rule_never_matched(api: str) -> None:
    lines = [line.strip() for line in run("stats", "--api", api).output.splitlines()]
    assert any("7 anomalies hidden in 1h" in line for line in lines)
    [used] = [line.split() for line in lines if line.startswith("bench")]
    assert (used[1:3], used[-2:]) == (["rule", "7"], ["test", "[bench]"])
    [idle] = [line.split() for line in lines if line.startswith("idle")]
    assert idle == ["idle", "inhibition", "0", "never"]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["incidents", "nothing"], 1, "aiops: Not found: there is no nothing\n"),
        (["stats", "--api", "no-url"], 2, "aiops: --api no-url: not a URL"),
        (["stats", "--api", "http://127.0.0.1:1"], 1, "aiops: incident-api at http://127.0.0.1:1"),
        (["dead", "list", "--nats", "nats://127.0.0.1:1"], 1, "aiops: nats at nats://127.0.0.1:1"),
        (["dead", "replay"], 2, "aiops: dead replay: give ids"),
        (["policy", "check", "--policies", "nowhere"], 2, "aiops: nowhere: no such folder\n"),
        (["up", "--policies", "nowhere"], 2, "aiops: nowhere: no such folder\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    api: str,
    words: list[str],
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIOPS_API_URL", api)
    assert leave(monkeypatch, *words) == code
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("known-token", ""),
        ("", "aiops: Refused 401: for a reason; set AIOPS_API_TOKEN to one of its tokens\n"),
        (
            "unknown-token",
            "aiops: Refused 401: for a reason; AIOPS_API_TOKEN holds one that it does not know\n",
        ),
        (
            "viewer-token",
            "aiops: Refused 403: for a reason (AIOPS_API_TOKEN is set, its role decides)\n",
        ),
        ("two words", "aiops: environment: AIOPS_API_TOKEN: "),
    ],
)
@pytest.mark.parametrize("words", [["incidents"], ["trace", "t-1"], ["stats"]])
def test_the_token_of_the_environment_is_shown_to_the_api(
    api: str,
    words: list[str],
    token: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeApi, "tokens", {"known-token": 200, "viewer-token": 403})
    monkeypatch.setenv("AIOPS_API_TOKEN", token)
    code = leave(monkeypatch, *words, "--api", api)
    said = capsys.readouterr().err
    assert (code == 0) == (said == "") == (line == "")
    assert said.startswith(line) and said.count("\n") <= 1
    assert not token or token not in said


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({}, "; start the fleet with `aiops up`, or say where it is with --api or AIOPS_API_URL"),
        ({"AIOPS_API_URL": "http://127.0.0.1:8081"}, "; is the fleet running there?"),
    ],
)
def test_who_finds_no_fleet_learns_how_to_start_or_to_point_to_one(
    environment: dict[str, str], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    monkeypatch.delenv("AIOPS_API_URL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable) as away, Api.open(None, httpx.MockTransport(refuse)) as calls:
        calls.get("/stats")
    line = "incident-api at http://127.0.0.1:8081 is not reachable (connection refused)"
    assert str(away.value) == line + advice


def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIOPS_PROBE_PORT", "many")
    assert leave(monkeypatch, "stats") == 2
    assert capsys.readouterr().err.startswith("aiops: environment: AIOPS_PROBE_PORT: ")


def test_a_bug_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    from aiops_cli import _unexpected

    _unexpected(KeyError, KeyError("a\nb"), None)
    assert capsys.readouterr().err.startswith("aiops: KeyError: ")


def test_a_failure_of_the_platform_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the sea is rough")

    monkeypatch.setattr("aiops_cli.stats.summary", fail)
    monkeypatch.setattr("aiops_cli.stats.Api.get", lambda *_, **__: {})
    assert leave(monkeypatch, "stats") == 1
    assert capsys.readouterr().err == "aiops: the sea is rough\n"


def test_a_light_command_does_not_load_the_heavy_modules() -> None:
    code = (
        "import sys; from aiops_cli import app; import aiops_cli.stats;"
        "heavy = {'nats', 'clickhouse_driver', 'chdb', 'uvloop', 'aiops_lab.simulator'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("option", ["--truth", "--out", "--devices-out"])
def test_a_file_that_cannot_be_written_is_one_line(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "missing" / "file"
    assert leave(monkeypatch, "simulate", option, str(file), "--duration", "1") == 2
    said = capsys.readouterr().err
    assert said == f"aiops: {file}: cannot be written: No such file or directory\n"
