"""``aiops runbooks`` against the service's own HTTP, up to the exit code."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from aiops_cli.runbooks import app
from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.observability.probe import Readiness, probe
from llm_enricher.retrieval.endpoints import RunbookEndpoints
from tests.retrieval_cases import write_runbooks
from tests.unit.llm_enricher_retrieval.test_indexing import DHCP, LINK, Ship


@contextmanager
def serving(ship: Ship) -> Iterator[str]:
    """The probe of llm-enricher with the paths of retrieval, in a thread of its own."""
    started, port = threading.Event(), 0
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        nonlocal port
        routes = RunbookEndpoints(ship.corpus, ship.retriever, ship.indexing).routes()
        async with probe(Readiness("llm-enricher"), "127.0.0.1", 0, routes) as port:
            started.set()
            await ended.wait()
        ship.store.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(10)
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def ship(tmp_path: Path) -> Ship:
    return Ship(tmp_path)


@pytest.fixture
def url(ship: Ship) -> Iterator[str]:
    with serving(ship) as address:
        yield address


def run(*words: str):
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "120"})


def test_index_reads_the_folder_and_says_what_it_did(url, ship):
    write_runbooks(ship.policies, {"broken": ""})
    first = run("index", "--enricher", url)
    assert first.exit_code == 0
    assert "2 runbooks in 3 passages, 2 resolved incidents; 5 embedded, 0 dropped" in first.output
    assert "left out: runbooks/broken.md: there is no text below any heading" in first.output
    write_runbooks(ship.policies, {"broken": LINK.replace("# Link", "# Other"), "dhcp": DHCP})
    again = json.loads(run("index", "--enricher", url, "--json").output)
    assert (again["runbooks"], again["embedded"], again["left_out"]) == (3, 1, {})


def test_search_shows_passages_by_meaning_and_list_shows_the_runbooks(url):
    run("index", "--enricher", url)
    found = run("search", "the dish sees no sky", "--enricher", url).output
    assert "link#symptoms" in found
    assert "by words alone" not in found
    assert "nothing fits" in run("search", "qqqq", "--enricher", url).output
    listed = run("list", "--enricher", url).output
    assert [line.split()[0] for line in listed.splitlines()[1:3]] == ["dhcp", "link"]


def test_a_search_without_vectors_says_so(url, ship):
    ship.inline.worker = None
    assert "vectors is away: there is none" in run("index", "--enricher", url).output
    found = run("search", "guests without address", "--enricher", url).output
    assert found.startswith("by words alone")
    assert "dhcp#symptoms" in found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "q: a text"),
        ({"q": " "}, "q: a text"),
        ({"q": "x", "limit": "many"}, "limit: a number from 1 to 50"),
        ({"q": "x", "limit": "51"}, "limit: a number from 1 to 50"),
        ({"q": "x", "domain": "kitchen"}, "domain: one of comms, net, app, system, security"),
    ],
)
def test_a_wrong_question_is_refused_with_what_is_wrong(url, asked, said):
    answer = httpx.get(f"{url}/runbooks/search", params=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)


def test_any_question_is_answered_and_the_probe_still_answers(url):
    for text in ("\x00", "&=%", "x" * 20_000, "☃", "SELECT 1; --"):
        assert httpx.get(f"{url}/runbooks/search", params={"q": text}).status_code in (200, 422)
    assert httpx.get(f"{url}/health").json()["status"] == "ok"
    assert httpx.get(f"{url}/runbooks/index").status_code == 404
    assert httpx.post(f"{url}/health").status_code == 200


@pytest.mark.parametrize(
    ("words", "problem", "said"),
    [
        (["list", "--enricher", "http://127.0.0.1:9"], Unavailable, "llm-enricher at http://127"),
        (["list", "--enricher", "there"], Misconfigured, "--enricher there: not a URL"),
        (["search", "x", "--domain", "kitchen"], AiopsError, "domain: one of"),
    ],
)
def test_what_goes_wrong_is_one_line(url, words, problem, said):
    asked = words if "--enricher" in words else [*words, "--enricher", url]
    done = run(*asked)
    assert isinstance(done.exception, problem)
    assert str(done.exception).startswith(said)
