"""Dead letters -> the output of ``aiops dead``, and back on their subject."""

import json

import nats
import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.dead import _replay
from aiops_cli.dead_letters import DeadLetter, DeadLetterStream, NoSuchDeadLetter
from aiops_core.adapters.nats_publish import TRUNCATED
from aiops_core.errors import Reject, Unavailable
from aiops_core.runtime.bus import SUBJECT
from tests.conftest import NatsServer, nats_bus

BROKEN = b'{"broken": \xff'


async def bury(server: NatsServer, count: int = 1, service: str = "enrichment-service") -> None:
    """Let *service* take broken messages and bury them, as the runtime does."""
    async with nats_bus(server.url) as bus:
        for _ in range(count):
            await bus.js.publish("anomaly.detected", BROKEN)
        async with bus.subscribe(["anomaly.detected"], group=service) as inbox:
            for _ in range(count):
                for delivery in await inbox.take(1):
                    await delivery.bury("not JSON")


async def dead_letters(server: NatsServer, service: str | None = None) -> list[DeadLetter]:
    async with DeadLetterStream.open(server.url) as dead:
        return [found async for found in dead.all(service)]


async def waiting(server: NatsServer) -> int:
    """Messages on the original subject."""
    client = await nats.connect(server.url)
    try:
        info = await client.jetstream().stream_info("ANOMALIES")
        return info.state.messages
    finally:
        await client.close()


async def test_a_dead_letter_says_why_where_and_what(own_nats: NatsServer) -> None:
    await bury(own_nats)
    [dead_letter] = await dead_letters(own_nats)
    assert (dead_letter.service, dead_letter.subject) == ("enrichment-service", "anomaly.detected")
    assert (dead_letter.reason, dead_letter.data) == ("not JSON", BROKEN)
    assert dead_letter.source == "ANOMALIES/1"
    assert "\\xff" in dead_letter.text()


async def test_all_are_listed_and_one_service_can_be_chosen(own_nats: NatsServer) -> None:
    await bury(own_nats, 3)
    assert [found.source for found in await dead_letters(own_nats)] == [
        f"ANOMALIES/{n}" for n in (1, 2, 3)
    ]
    assert len(await dead_letters(own_nats, "enrichment-service")) == 3
    assert await dead_letters(own_nats, "llm-enricher") == []


async def test_a_replayed_dead_letter_is_back_on_its_subject_and_gone(own_nats: NatsServer) -> None:
    await bury(own_nats)
    [dead_letter] = await dead_letters(own_nats)
    async with DeadLetterStream.open(own_nats.url) as dead:
        await dead.replay(dead_letter)
        with pytest.raises(NoSuchDeadLetter, match="there is no dead letter 1"):
            await dead.get(dead_letter.id)
    assert await waiting(own_nats) == 2
    assert await dead_letters(own_nats) == []


async def test_a_cut_dead_letter_is_not_replayed(own_nats: NatsServer) -> None:
    await bury(own_nats)
    [dead_letter] = await dead_letters(own_nats)
    cut = DeadLetter(**{**vars(dead_letter), "truncated_from": 9_000_000})
    async with DeadLetterStream.open(own_nats.url) as dead:
        with pytest.raises(Reject, match="is cut"):
            await dead.replay(cut)


async def test_a_broker_on_which_nothing_has_run_is_one_line(own_nats: NatsServer) -> None:
    with pytest.raises(Unavailable, match="has no stream OPS"):
        await dead_letters(own_nats)


@pytest.fixture
async def buried(own_nats: NatsServer) -> NatsServer:
    await bury(own_nats, 2)
    return own_nats


def run(server: NatsServer, *words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["dead", *words, "--nats", server.url])
    assert done.exit_code == 0, done.output
    return done.output


async def test_malformed_dead_letters_do_not_keep_the_others_from_being_replayed(
    own_nats: NatsServer,
) -> None:
    await bury(own_nats)
    odd = (
        {},
        {SUBJECT: ""},
        {SUBJECT: "not a subject"},
        {SUBJECT: "no.such.stream"},
        {SUBJECT: "anomaly.detected", TRUNCATED: "much"},
    )
    async with nats_bus(own_nats.url) as bus:
        for headers in odd:
            await bus.js.publish("dead.enrichment-service", b"\xff\0", headers=headers or None)
    await bury(own_nats)
    assert len(await dead_letters(own_nats)) == len(odd) + 2
    done, refused = await _replay(own_nats.url, (), None)
    assert [found.id for found in done] == [1, 7]
    assert [reason.partition(" is ")[0].partition(" does ")[0] for reason in refused] == [
        f"dead letter {n}" for n in range(2, 7)
    ]
    assert await waiting(own_nats) == 4
    assert len(await dead_letters(own_nats)) == len(odd)


def test_the_commands_list_show_and_replay(buried: NatsServer) -> None:
    assert "not JSON" in run(buried, "list")
    first, second = json.loads(run(buried, "list", "--json"))
    assert first["subject"] == second["subject"] == "anomaly.detected"
    assert "reason: not JSON" in run(buried, "show", str(first["id"]))
    assert (
        run(buried, "replay", str(first["id"]))
        == f"dead letter {first['id']} -> anomaly.detected\n"
    )
    assert [one["id"] for one in json.loads(run(buried, "replay", "--all", "--json"))] == [
        second["id"]
    ]
    assert run(buried, "list") == "no dead letters\n"
