"""``aiops llm check``: the examination on screen, and how it ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_core.errors import AiopsError, Misconfigured
from llm_enricher.model.examination import CASES
from tests.model_cases import POLICIES
from tests.model_servers import StandIn

EVERY = {  # an answer of which something is true of each case
    "citations": ["E1"],
    "root_cause": "See what is cited: interface state, spool space left, peer certificate.",
    "confidence": "high",
}


@pytest.fixture
def server() -> Iterator[StandIn]:
    """In a loop of its own: the command has one itself."""
    stand_in = StandIn(text=json.dumps(EVERY))
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve(stop: asyncio.Event) -> None:
        async with stand_in.serving():
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(stop),))
    thread.start()
    ready.wait(10)
    yield stand_in
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def check(server: StandIn, *words: str):
    return CliRunner().invoke(
        app,
        ["llm", "check", "--url", server.url, "--policies", str(POLICIES), *words],
        env={"COLUMNS": "160"},
    )


def test_an_accepted_model_is_shown_case_by_case(server):
    done = check(server)
    assert done.exit_code == 0, done.output
    assert all(case.name in done.stdout for case in CASES)
    assert "phi3:mini accepted: 100% valid, 100% verified" in done.stdout
    assert "cores" in done.stdout


def test_json_has_the_numbers_and_the_verdict(server):
    found = json.loads(check(server, "--json").stdout)
    assert found["standing"] == "accepted" and found["digest"] == "d1"
    assert [case["case"] for case in found["cases"]] == [case.name for case in CASES]


def test_a_model_that_is_not_believed_ends_with_1(server):
    server.text = json.dumps(EVERY | {"root_cause": "The Cisco firmware has a bug."})
    done = check(server)
    assert done.exit_code == 1
    assert "not believed: name" in done.stdout


def test_a_model_that_does_not_answer_ends_with_1(server):
    server.script = [500]
    done = check(server)
    assert done.exit_code == 1 and "failed" in done.stdout


def test_a_missing_model_is_one_line_with_the_command(server):
    done = check(server, "--model", "qwen2.5:3b")
    assert isinstance(done.exception, AiopsError)
    assert str(done.exception).endswith("lacks qwen2.5:3b: ollama pull qwen2.5:3b")


def test_a_server_that_is_away_is_one_line(server):
    server.url = "http://127.0.0.1:1"
    assert "127.0.0.1:1: away: " in str(check(server).exception)


def test_without_an_address_it_says_which_setting(monkeypatch):
    monkeypatch.delenv("AIOPS_LLM_URL", raising=False)
    done = CliRunner().invoke(app, ["llm", "check"])
    assert isinstance(done.exception, Misconfigured)
    assert "AIOPS_LLM_URL" in str(done.exception)
