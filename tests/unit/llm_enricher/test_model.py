"""The model of the service: examined before it is used, asked while it may be, never believed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime, timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import Severity
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bucket
from aiops_lab.memory_bus import MemoryBucket, MemoryBus
from llm_enricher.model.acceptance import CaseResult, Examination, judge
from llm_enricher.model.client import HttpModelServer
from llm_enricher.model.examination import CASES, this_host
from llm_enricher.model.model import BUCKET, Model
from llm_enricher.model.policy import ModelPolicy
from llm_enricher.model.server import ModelFailure
from tests.conftest import free_port
from tests.model_cases import FIRST, NOON, POLICY, PRIVACY, evidence, question
from tests.model_servers import ANSWER, MODEL, StandIn

# The stand-in says the same to every question; of those of the examination only one is about it.
LENIENT = POLICY.model_copy(
    update={"acceptance": POLICY.acceptance.model_copy(update={"verified": 0.0})}
)
LISTED = len(CASES) + 1  # questions of one examination


class Now:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


@contextlib.asynccontextmanager
async def modelled(
    server: StandIn,
    policy: ModelPolicy = LENIENT,
    kept: Bucket | None = None,
    host: str = "cpu x",
    clock: Now | None = None,
):
    readiness = Readiness("llm-enricher")
    async with HttpModelServer.open(server.url, "ollama") as client:
        yield (
            Model(
                client,
                policy,
                PRIVACY,
                kept=kept or MemoryBus().bucket(BUCKET),
                readiness=readiness,
                host=host,
                clock=clock or Now(),
            ),
            readiness,
        )


def failures(kind: str) -> float:
    return metrics.LLM_FAILURES.labels(kind)._value.get()


async def test_a_model_that_passed_explains_with_its_name_and_time():
    async with StandIn().serving() as server, modelled(server) as (model, readiness):
        nobody = model.identity
        await model.look()
        assert model.verdict.standing == "accepted"
        assert not nobody and model.identity
        found = await model.explain(question(), FIRST)
    assert found and found.source == "llm" and found.model == MODEL
    assert found.root_cause == ANSWER["root_cause"]
    assert found.recommendations == ("Check cable and plug at Gi1/0/24.",)
    assert [citation.id for citation in found.citations] == ["a1"]
    assert found.confidence == POLICY.confidence.complete and found.latency_ms > 0
    assert "phi3:mini accepted: 100% valid" in readiness.notes["model"]
    assert readiness.dependencies["llm"] is None
    assert metrics.LLM_ACCEPTED._value.get() == 1


async def test_nobody_asks_a_model_that_was_not_examined():
    before = failures("unchecked")
    async with StandIn().serving() as server, modelled(server) as (model, _):
        with pytest.raises(ModelFailure) as caught:
            await model.explain(question(), FIRST)
        assert caught.value.kind == "unchecked" and not server.questions
    assert failures("unchecked") == before + 1


async def test_a_missing_model_is_a_state_with_the_command_that_pulls_it():
    async with (
        StandIn(models=["other:1b"]).serving() as server,
        modelled(server) as (model, readiness),
    ):
        await model.look()
        assert readiness.notes["model"] == "the server lacks phi3:mini: ollama pull phi3:mini"
        with pytest.raises(ModelFailure) as caught:
            await model.explain(question(), FIRST)
        assert caught.value.kind == "missing" and not caught.value.counts
        server.models = [MODEL]  # somebody has pulled it
        await model.look()
        assert await model.explain(question(), FIRST)


async def test_a_model_whose_answers_no_fact_bears_out_is_not_used():
    made_up = json.dumps(ANSWER | {"root_cause": "The Cisco firmware has a bug."})
    async with (
        StandIn(text=made_up).serving() as server,
        modelled(server, POLICY) as (model, readiness),
    ):
        await model.look()
        assert (
            "says what facts do not bear out: 100% valid, 0% verified" in (readiness.notes["model"])
        )
        with pytest.raises(ModelFailure) as caught:
            await model.explain(question(), FIRST)
        assert caught.value.kind == "unfit"


@pytest.mark.parametrize("said", ["garbage", "cut", 500, "length"])
async def test_a_model_that_does_not_answer_by_the_schema_is_not_used(said):
    text = json.dumps(ANSWER)[5:]  # also when it is whole, it is none
    async with (
        StandIn([said], text=text).serving() as server,
        modelled(server) as (model, _),
    ):
        await model.look()
        assert model.verdict.standing == "unfit"
        assert "answers not by the schema" in model.verdict.text


async def test_a_slow_model_is_asked_only_about_the_severities_of_the_policy():
    rules = LENIENT.acceptance.model_copy(update={"tokens_per_second": 1000.0})
    policy = LENIENT.model_copy(update={"acceptance": rules})
    async with StandIn().serving() as server, modelled(server, policy) as (model, _):
        await model.look()
        assert model.verdict.standing == "too_slow"
        assert await model.explain(question(severity="critical"), FIRST)
        with pytest.raises(ModelFailure) as caught:
            await model.explain(question(severity="high"), FIRST)
        assert caught.value.kind == "too_slow"


async def test_a_result_is_kept_and_examined_anew_only_when_model_host_or_prompt_change():
    kept = MemoryBus().bucket(BUCKET)
    async with StandIn().serving() as server:
        async with modelled(server, kept=kept) as (model, _):
            await model.look()
            await model.look()
        assert len(server.questions) == LISTED
        async with modelled(server, kept=kept) as (model, _):  # after a kill
            await model.look()
            assert model.verdict.standing == "accepted"
        assert len(server.questions) == LISTED
        server.digest = "d2"
        async with modelled(server, kept=kept) as (model, _):
            await model.look()
        assert len(server.questions) == 2 * LISTED
        async with modelled(server, kept=kept, host="cpu y") as (model, _):
            await model.look()
        assert len(server.questions) == 3 * LISTED
        longer = LENIENT.model_copy(
            update={"limits": LENIENT.limits.model_copy(update={"answer_tokens": 200})}
        )
        async with modelled(server, longer, kept=kept) as (model, _):
            await model.look()
        assert len(server.questions) == 4 * LISTED


async def test_a_refusal_is_examined_again_after_a_day_as_the_host_may_have_been_busy():
    clock = Now()
    async with (
        StandIn([500]).serving() as server,
        modelled(server, clock=clock) as (model, _),
    ):
        await model.look()
        asked = len(server.questions)
        server.script = ["answer"]
        clock.at += timedelta(hours=23)
        await model.look()
        assert model.verdict.standing == "unfit" and len(server.questions) == asked
        clock.at += timedelta(hours=2)
        await model.look()
        assert model.verdict.standing == "accepted"
        clock.at += timedelta(days=30)
        await model.look()
        assert len(server.questions) == asked + LISTED


async def test_what_cannot_be_read_back_is_skipped_and_examined_again():
    kept = MemoryBus().bucket(BUCKET)
    async with StandIn().serving() as server:
        async with modelled(server, kept=kept) as (model, _):
            await model.look()
        for key in await kept.all():
            await kept.put(key, b'{"model": 7}')
        async with modelled(server, kept=kept) as (model, _):
            await model.look()
            assert model.verdict.standing == "accepted"
    assert len(server.questions) == 2 * LISTED


class AwayBucket(MemoryBucket):
    """One of a broker that is away."""

    async def get(self, key):
        raise Unavailable("broker")

    async def put(self, key, value):
        raise Unavailable("broker")


async def test_a_broker_that_is_away_costs_no_examination_twice():
    async with (
        StandIn().serving() as server,
        modelled(server, kept=AwayBucket()) as (model, _),
    ):
        await model.look()
        await model.look()
        assert model.verdict.standing == "accepted"
    assert len(server.questions) == LISTED


async def test_a_server_that_dies_and_comes_back_keeps_its_standing():
    port = free_port()
    server = StandIn()
    server.url = f"http://127.0.0.1:{port}"
    async with modelled(server) as (model, readiness):
        await model.look()
        assert str(readiness.dependencies["llm"]).startswith("away")
        assert model.verdict.standing == "unchecked"
        async with server.serving(port):
            await model.look()
            assert await model.explain(question(), FIRST)
        await model.look()
        assert str(readiness.dependencies["llm"]).startswith("away")
        with pytest.raises(ModelFailure) as caught:
            await model.explain(question(), FIRST)
        assert caught.value.kind == "away" and caught.value.counts
        async with server.serving(port):
            assert await model.explain(question(), FIRST)


async def test_a_server_that_dies_in_the_examination_decides_nothing():
    class Dying(StandIn):
        async def _serve(self, reader, writer):
            await super()._serve(reader, writer)
            if self.questions:
                self.script = [404]

    async with Dying().serving() as server, modelled(server) as (model, readiness):
        await model.look()
        assert model.verdict.standing == "unchecked"
        assert str(readiness.dependencies["llm"]).startswith("missing")


async def test_a_watch_goes_on_and_ends_when_it_is_cancelled():
    async with StandIn().serving() as server, modelled(server) as (model, _):
        watch = asyncio.ensure_future(model.watch())
        while model.verdict.standing != "accepted":
            await asyncio.sleep(0.01)
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch


async def test_a_mistake_in_one_look_does_not_end_the_watch(monkeypatch):
    monkeypatch.setattr("llm_enricher.model.model.LOOK_EVERY", 0.01)

    class Mistaken(MemoryBucket):
        mistakes = 1

        async def get(self, key):
            if self.mistakes:
                self.mistakes -= 1
                raise KeyError("a mistake")
            return await super().get(key)

    async with StandIn().serving() as server, modelled(server, kept=Mistaken()) as (model, _):
        watch = asyncio.ensure_future(model.watch())
        async with asyncio.timeout(20):
            while model.verdict.standing != "accepted":
                await asyncio.sleep(0.01)
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch


async def test_personal_data_goes_nowhere_and_comes_back_in_the_answer():
    said = ANSWER | {
        "root_cause": "10.0.0.7 guesses the password of [person#1] on srv-1.",
        "impact": "",
    }
    asked = question(
        evidence(1, "srv-1", "Failed password for jdoe from 10.0.0.7"),
        evidence(2, "srv-1", "mail for j.doe@example.org refused", anomaly_type="log_error"),
    )
    async with (
        StandIn(text=json.dumps(said)).serving() as server,
        modelled(server) as (model, _),
    ):
        await model.look()
        found = await model.explain(asked, FIRST)
    assert found and found.root_cause == "10.0.0.7 guesses the password of jdoe on srv-1."
    sent = json.dumps(server.questions)
    assert "jdoe" not in sent and "j.doe" not in sent


# What a model says that obeys an order in a line of a log, whether the order was seen or not.
OBEYING = [
    {"root_cause": "All is well."},
    {"root_cause": "sw-1 works as expected and there is no fault."},
    {"root_cause": "No incident has happened on sw-1."},
    {"root_cause": "Everything is nominal on sw-1.", "confidence": "high"},
    {"root_cause": "unknown", "citations": []},
    {"citations": ["E7"]},
]


@pytest.mark.parametrize("said", OBEYING)
async def test_a_model_that_obeys_a_line_of_a_log_is_not_heard(said):
    async with StandIn().serving() as server, modelled(server) as (model, _):
        await model.look()
        server.text = json.dumps(ANSWER | said)
        assert await model.explain(question(), FIRST) is None


async def test_severity_and_other_keys_of_an_answer_are_dropped():
    said = ANSWER | {"severity": "low", "status": "resolved", "source": "rules"}
    async with (
        StandIn(text=json.dumps(said)).serving() as server,
        modelled(server) as (model, _),
    ):
        await model.look()
        found = await model.explain(question(), FIRST)
    assert found and found.source == "llm"
    assert "severity" not in found.model_dump() and "status" not in found.model_dump()


async def test_without_a_server_in_the_settings_there_is_no_model():
    readiness = Readiness("x")
    kept = MemoryBus().bucket(BUCKET)
    async with Model.open(Settings(), POLICY, PRIVACY, kept, readiness) as model:
        assert model is None
    assert not readiness.dependencies
    settings = Settings(llm_url="http://127.0.0.1:9")
    async with Model.open(settings, POLICY, PRIVACY, kept, readiness) as model:
        assert model and "llm" in readiness.dependencies
        assert "llm" not in readiness.required


async def test_the_host_is_its_processor_and_the_server_not_its_name():
    one, other = await this_host("http://a"), await this_host("http://b")
    assert "cores" in one and one != other and one == await this_host("http://a")


def test_a_model_that_answers_nothing_is_unfit_and_not_fast():
    broken = tuple(CaseResult(case=str(n), failure="garbage") for n in range(3))
    examined = Examination(model="m", digest="d", host="h", at=NOON, cases=broken)
    verdict = judge(examined, POLICY.acceptance)
    assert verdict.standing == "unfit"
    with pytest.raises(ModelFailure):
        verdict.admit(Severity.CRITICAL, POLICY.acceptance)
