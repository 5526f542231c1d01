"""Both protocols against a server that misbehaves: each failure has its kind, and nothing hangs."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from aiops_core.errors import Misconfigured
from aiops_core.observability import metrics
from llm_enricher.model.client import HttpModelServer
from llm_enricher.model.server import ChatRequest, ModelCard, ModelFailure, Reply
from tests.conftest import free_port
from tests.model_servers import MODEL, StandIn

REQUEST = ChatRequest(
    model=MODEL,
    system="You explain.",
    user="Why?",
    schema={"type": "object"},
    options={"temperature": 0, "num_ctx": 2048},
    keep_alive="24h",
    answer_tokens=120,
    first_token=0.5,
    whole_answer=1.0,
)
APIS = ("ollama", "openai")


async def ask(server: StandIn, api: str = "ollama", **changes) -> Reply:
    async with HttpModelServer.open(server.url, api) as client:
        return await client.ask(dataclasses.replace(REQUEST, **changes))


async def kind(server: StandIn, api: str = "ollama", **changes) -> str:
    with pytest.raises(ModelFailure) as caught:
        await ask(server, api, **changes)
    return caught.value.kind


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_comes_whole_with_its_numbers(api):
    before = metrics.LLM_FIRST_TOKEN._sum.get()
    async with StandIn(delay=0.05).serving() as server:
        reply = await ask(server, api)
    assert reply.text == server.text
    assert (reply.prompt_tokens, reply.answer_tokens, reply.cut) == (200, 40, False)
    assert 0.05 <= reply.first_token <= reply.total < 1
    assert reply.tokens_per_second == 20 if api == "ollama" else reply.tokens_per_second > 0
    assert metrics.LLM_FIRST_TOKEN._sum.get() > before


async def test_ollama_is_asked_with_schema_options_and_limits():
    async with StandIn().serving() as server:
        await ask(server)
    [body] = server.questions
    assert body["format"] == {"type": "object"}
    assert body["options"] == {"temperature": 0, "num_ctx": 2048, "num_predict": 120}
    assert body["keep_alive"] == "24h" and body["stream"] is True
    assert [it["role"] for it in body["messages"]] == ["system", "user"]


async def test_an_openai_server_is_asked_in_its_own_words_and_gets_the_token():
    async with (
        StandIn().serving() as server,
        HttpModelServer.open(server.url, "openai", "secret-1") as client,
    ):
        await client.ask(REQUEST)
    [body] = server.questions
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert body["max_tokens"] == 120 and body["temperature"] == 0
    assert "num_ctx" not in body and "keep_alive" not in body
    assert "authorization: bearer secret-1" in server.headers[0].lower()


FAILURES = [
    ("hang", "slow"),
    ("stall", "late"),
    ("cut", "cut_off"),
    ("unfinished", "cut_off"),
    ("garbage", "garbage"),
    ("endless", "garbage"),
    ("error", "failed"),
    (400, "refused"),
    (404, "missing"),
    (429, "failed"),
    (500, "failed"),
    (503, "failed"),
]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(("said", "expected"), FAILURES)
async def test_every_failure_has_its_kind(api, said, expected):
    async with StandIn([said]).serving() as server:
        assert await kind(server, api) == expected


async def test_an_answer_without_an_end_is_given_up():
    async with StandIn(text="x" * 200_000).serving() as server:
        assert await kind(server) == "garbage"


async def test_a_missing_model_says_how_to_get_it():
    async with StandIn([404]).serving() as server:
        with pytest.raises(ModelFailure, match=r"404: trouble 404; ollama pull phi3:mini"):
            await ask(server)


async def test_a_server_that_is_away_and_comes_back():
    port = free_port()
    server = StandIn(url=f"http://127.0.0.1:{port}")
    async with HttpModelServer.open(server.url, "ollama") as client:
        for _ in range(2):
            with pytest.raises(ModelFailure) as caught:
                await client.ask(REQUEST)
            assert caught.value.kind == "away"
        async with server.serving(port):
            assert (await client.ask(REQUEST)).text
        with pytest.raises(ModelFailure):
            await client.ask(REQUEST)
        async with server.serving(port):
            assert (await client.ask(REQUEST)).text


@pytest.mark.parametrize("said", ["hang", "stall"])
async def test_a_cancelled_question_leaves_the_server_at_once(said):
    async with StandIn([said]).serving() as server:
        task = asyncio.ensure_future(ask(server, first_token=60, whole_answer=60))
        while not server.questions:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            while not server.left:
                await asyncio.sleep(0.01)


async def test_the_limit_of_the_first_token_ends_with_it():
    async with StandIn(delay=0.3).serving() as server:
        assert (await ask(server, first_token=1.0, whole_answer=1.0)).text
        assert await kind(server, first_token=0.1) == "slow"
        started = time.perf_counter()
        server.script = ["stall"]
        assert await kind(server, first_token=0.6, whole_answer=0.9) == "late"
        assert time.perf_counter() - started >= 0.85


@pytest.mark.parametrize("api", APIS)
async def test_the_list_of_models(api):
    async with (
        StandIn(models=["a", "b"]).serving() as server,
        HttpModelServer.open(server.url, api) as client,
    ):
        cards = await client.models()
        assert [card.name for card in cards] == ["a", "b"]
        assert all(card.digest for card in cards)
        assert cards == await client.models()


async def test_ollama_tells_a_digest():
    async with (
        StandIn(digest="abc").serving() as server,
        HttpModelServer.open(server.url, "ollama") as client,
    ):
        assert await client.models() == [ModelCard(MODEL, "abc")]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (500, "failed"),
        (b"<html>", "garbage"),
        (b"[]", "garbage"),
        (b'{"models": [{"name": "a"}]}', "garbage"),
        (b'{"models": 7}', "garbage"),
    ],
)
async def test_a_list_that_is_none(listed, expected):
    async with (
        StandIn(listed=listed).serving() as server,
        HttpModelServer.open(server.url, "ollama") as client,
    ):
        with pytest.raises(ModelFailure) as caught:
            await client.models()
        assert caught.value.kind == expected


@pytest.mark.parametrize("url", ["127.0.0.1:11434", "ftp://x", "http://", "nonsense"])
async def test_what_is_no_address_is_named(url):
    with pytest.raises(Misconfigured, match="AIOPS_LLM_URL"):
        async with HttpModelServer.open(url, "ollama"):
            pass


def test_what_a_breaker_counts_and_what_a_second_try_may_mend():
    assert ModelFailure("late").counts and not ModelFailure("late").worth_retry
    assert ModelFailure("cut_off").counts and ModelFailure("cut_off").worth_retry
    assert not ModelFailure("missing").counts and not ModelFailure("unfit").worth_retry
