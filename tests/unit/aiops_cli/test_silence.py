"""``aiops silence``: a command line -> what the API is asked, and what is printed."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.api import Api

NOW = datetime.now(UTC)


def silence(**changes: object) -> dict[str, Any]:
    return {
        "id": "silence-1",
        "state": "active",
        "matchers": ["device_id=sw-[1]", "anomaly_type=~link_.*"],
        "starts_at": NOW.isoformat(),
        "ends_at": (NOW + timedelta(hours=5)).isoformat(),
        "created_by": "eto",
        "comment": "cable [deck 5]",
        "created_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        "updated_by": "mate",
        "hidden": 12,
        "last_matched_at": (NOW - timedelta(hours=3)).isoformat(),
        "never_hides": ["severity=critical"],
    } | changes


PREVIEW = {
    "time_range": "24h",
    "matchers": ["device_id=sw-1"],
    "anomalies": 40,
    "hidden": 9,
    "never_hidden": 2,
    "refused": None,
    "top": [
        {
            "anomaly_type": "link_down",
            "device_id": "sw-1",
            "service": "switchd",
            "severity": "high",
            "number": 9,
        }
    ],
}


class Shore:
    """Answers like incident-api, and remembers what it was asked."""

    def __init__(self) -> None:
        self.items = [silence()]
        self.preview = dict(PREVIEW)
        self.asked: list[tuple[str, str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        query = request.url.query.decode()
        self.asked.append((request.method, request.url.path, query, body))
        if request.url.path.endswith("/preview"):
            return httpx.Response(200, json=self.preview)
        if request.method == "GET" and request.url.path == "/api/v3/silences":
            return httpx.Response(200, json={"items": self.items})
        return httpx.Response(200, json=self.items[0])


@pytest.fixture
def shore(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shore]:
    shore = Shore()
    with httpx.Client(base_url="http://shore", transport=httpx.MockTransport(shore)) as client:
        monkeypatch.setattr(Api, "open", lambda url: nullcontext(Api(client)))
        yield shore


def run(*words: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["silence", *words])


@pytest.mark.parametrize("words", [(), ("list",)])
def test_the_list_asks_for_what_is_in_force_and_shows_what_it_hid(
    shore: Shore, words: tuple[str, ...]
) -> None:
    output = run(*words).output
    assert shore.asked == [("GET", "/api/v3/silences", "state=active&state=pending", None)]
    for shown in ("silence-1", "device_id=sw-[1] anomaly_type=~link_.*", "eto", "cable [deck 5]"):
        assert shown in output
    assert "in 5 h" in output and "12" in output and "3 h ago" in output


def test_all_and_what_ends_soon_can_be_asked_for(shore: Shore) -> None:
    run("--all", "--expiring", "1h")
    assert shore.asked[-1][2] == "expiring_within=1h"


def test_none_is_said(shore: Shore) -> None:
    shore.items = []
    assert run().output == "no silences\n"


def test_one_that_is_over_and_one_that_hid_nothing_say_so(shore: Shore) -> None:
    past = (NOW - timedelta(hours=4)).isoformat()
    shore.items = [silence(state="expired", ends_at=past, hidden=0, last_matched_at=None)]
    output = run("--all").output
    assert "4 h ago" in output and "never" in output


def test_a_silence_is_ordered_as_it_is_written(shore: Shore) -> None:
    words = ["add", "--created-by", "eto", "--comment", "works", "--starts-at", "2030-01-01T10:00"]
    done = run(*words, "--for", "2h", "device_id=sw-1", 'anomaly_type =~ "link_.*"')
    assert done.exit_code == 0
    body = {
        "matchers": ["device_id=sw-1", "anomaly_type=~link_.*"],
        "created_by": "eto",
        "comment": "works",
        "starts_at": "2030-01-01T10:00:00+00:00",
        "ends_at": "2030-01-01T12:00:00+00:00",
    }
    assert shore.asked == [("POST", "/api/v3/silences", "", body)]
    assert "never hides" in done.output and "severity=critical" in done.output


@pytest.mark.parametrize(
    ("words", "method", "body"),
    [
        (["show", "s-1"], "GET", None),
        (
            ["extend", "s-1", "--ends-at", "2030-01-01T10:00+02:00", "--created-by", "chief"],
            "PATCH",
            {"created_by": "chief", "ends_at": "2030-01-01T10:00:00+02:00"},
        ),
        (["end", "s-1"], "DELETE", None),
    ],
)
def test_one_is_shown_extended_and_ended(
    shore: Shore, words: list[str], method: str, body: Any
) -> None:
    done = run(*words)
    assert done.exit_code == 0 and "cable [deck 5]" in done.output
    assert shore.asked == [(method, "/api/v3/silences/s-1", "", body)]


def test_extending_for_a_span_counts_from_now(shore: Shore) -> None:
    run("extend", "s-1", "--for", "4h")
    ends_at = datetime.fromisoformat(shore.asked[0][3]["ends_at"])
    assert timedelta(hours=4) <= ends_at - NOW < timedelta(hours=5)


def test_a_preview_says_how_many_of_how_many_and_which(shore: Shore) -> None:
    output = run("preview", "device_id=sw-1").output
    assert shore.asked[-1][2] == "matcher=device_id%3Dsw-1&time_range=24h"
    assert "9 of 40 anomalies in the last 24h" in output
    assert "2 more match, but are never hidden" in output
    assert output.splitlines()[-1].split() == ["link_down", "sw-1", "switchd", "high", "9"]


def test_a_preview_says_that_such_a_silence_would_be_refused(shore: Shore) -> None:
    shore.preview |= {"refused": "it is too broad", "top": []}
    assert "such a silence is refused: it is too broad" in run("preview", "device_id!=x").output


def test_json_is_what_the_api_answered(shore: Shore) -> None:
    assert json.loads(run("--json").output) == shore.items
    assert json.loads(run("end", "s-1", "--json").output) == shore.items[0]
    assert json.loads(run("preview", "device_id=sw-1", "--json").output) == PREVIEW


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["add", "device_id=sw-1", "--for", "2h", "--ends-at", "2030-01-01"], "say when it ends"),
        (["add", "device_id=sw-1"], "say when it ends, with either --ends-at TIME or --for SPAN"),
        (["add", "device", "--for", "2h"], "'device' is no matcher; write LABEL=VALUE"),
        (["preview", "devise=sw-1"], "there is no label devise; there are anomaly_type"),
        (["preview", "device_id=~["], "'[' is no regular expression: "),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(
    shore: Shore, words: list[str], complaint: str
) -> None:
    if words[0] == "add":
        words += ["--created-by", "eto", "--comment", "works"]
    done = run(*words)
    assert done.exit_code != 0
    assert complaint in str(done.exception)
    assert str(done.exception).startswith("silence") and "\n" not in str(done.exception)
    assert shore.asked == []
