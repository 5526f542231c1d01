"""The process that has vectors: killed, hanging, talking nonsense, refusing, and after its
owner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aiops_core.errors import Unavailable
from llm_enricher.retrieval import worker_process
from llm_enricher.retrieval.vectors import VectorStore
from llm_enricher.retrieval.worker import RetrievalWorker
from llm_enricher.retrieval.worker_process import LOADING, WorkerProcess
from tests.conftest import ROOT
from tests.retrieval_cases import WordEmbedder, runbook

STAND_IN = [sys.executable, "-m", "tests.retrieval_cases"]
PASSAGE = runbook("dhcp#fix", "widen the address pool").model_dump(mode="json")
FIND = {
    "text": "the address pool",
    "kinds": {"runbook": {"wanted": {}, "limit": 5, "similarity": 0.1}},
}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(worker_process, "WAITS", (0.05,))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))


@asynccontextmanager
async def kept(*command: str):
    states: list[str | None] = []
    process = WorkerProcess(command, states.append)
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(process.keep())
        try:
            yield process, states
        finally:
            keeping.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def script(folder: Path, text: str) -> list[str]:
    path = folder / "worker.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def pids(process: WorkerProcess) -> int:
    assert process._process
    return process._process.pid


async def test_it_answers_and_after_a_kill_another_one_has_what_was_stored(tmp_path):
    async with kept(*STAND_IN, str(tmp_path / "vectors")) as (process, states):
        with pytest.raises(Unavailable, match=LOADING):
            await process.ask("ensure")
        await until(lambda: states[-1:] == [None])
        made = (await process.ask("ensure"))["made"]
        await process.ask("put", kind="runbook", passages=[PASSAGE])
        os.kill(pids(process), signal.SIGKILL)
        await until(lambda: states.count(None) == 2)
        again = await process.ask("ensure")
        assert again["points"] == {"runbook": 1, "incident": 0}
        assert again["made"] != made
        [[id, score]] = (await process.ask("find", **FIND))["hits"]["runbook"]
        assert (id, score) == ("dhcp#fix", pytest.approx(0.8, abs=0.3))
    assert any("ended with -9" in (state or "") for state in states)


async def test_it_yields_to_others_and_ends_with_its_owner(tmp_path):
    async with kept(*STAND_IN, str(tmp_path / "vectors")) as (process, states):
        await until(lambda: states[-1:] == [None])
        pid = pids(process)
        assert os.getpriority(os.PRIO_PROCESS, pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_whose_owner_was_killed_ends_by_itself(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *STAND_IN,
        str(tmp_path / "vectors"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    assert b"ready" in await process.stdout.readline()
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_one_that_still_loads_ends_with_its_owner_too(tmp_path):
    slow = """
import time
from llm_enricher.retrieval.worker import serve
serve(lambda: time.sleep(60), "nowhere")
"""
    process = await asyncio.create_subprocess_exec(
        *script(tmp_path, slow), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 0


SLOW = """
import json, sys, time
print(json.dumps({"ready": "slow"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    time.sleep(asked["seconds"])
    print(json.dumps({"id": asked["id"], "result": asked["seconds"]}), flush=True)
"""


async def abandoned(process: WorkerProcess, seconds: float) -> None:
    """Ask what takes *seconds*, and wait a little only."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await process.ask("find", seconds=seconds)


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next_one(tmp_path):
    async with kept(*script(tmp_path, SLOW)) as (process, states):
        await until(lambda: states[-1:] == [None])
        await abandoned(process, 0.4)
        assert await process.ask("ensure", seconds=0.01) == 0.01


async def test_questions_that_nobody_waits_for_do_not_pile_up(tmp_path):
    async with kept(*script(tmp_path, SLOW)) as (process, states):
        await until(lambda: states[-1:] == [None])
        await abandoned(process, 0.6)
        started = time.perf_counter()
        for _ in range(50):
            with pytest.raises(Unavailable, match="late"):
                await process.ask("find", seconds=0.6)
        assert time.perf_counter() - started < 0.3
        await until(lambda: not process._is_late)
        assert await process.ask("find", seconds=0.0) == 0.0
    assert states.count(None) == 1


async def test_one_that_hangs_on_what_nobody_waits_for_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_process, "ANSWERS_WITHIN", 0.5)
    async with kept(*script(tmp_path, SLOW)) as (process, states):
        await until(lambda: states[-1:] == [None])
        await abandoned(process, 60)
        await until(lambda: states.count(None) == 2)
        assert await process.ask("find", seconds=0.0) == 0.0


async def test_it_ends_while_an_answer_is_out(tmp_path):
    async with kept(*script(tmp_path, SLOW)) as (process, states):
        await until(lambda: states[-1:] == [None])
        await abandoned(process, 60)
    assert not process._is_late


@pytest.mark.parametrize(
    "after",
    ["print('nonsense', flush=True); time.sleep(60)", "sys.exit(3)", "time.sleep(60)"],
)
async def test_one_that_talks_nonsense_leaves_or_hangs_is_replaced(tmp_path, monkeypatch, after):
    monkeypatch.setattr(worker_process, "ANSWERS_WITHIN", 1.0)
    text = f"""
import json, sys, time
print(json.dumps({{"ready": "x"}}), flush=True)
sys.stdin.readline()
{after}
"""
    async with kept(*script(tmp_path, text)) as (process, states):
        await until(lambda: states[-1:] == [None])
        first = pids(process)
        with pytest.raises(Unavailable, match="the process of embeddings"):
            await process.ask("find", **FIND)
        await until(lambda: process._process is not None and pids(process) != first)


async def test_one_that_is_ready_and_never_answers_is_started_less_and_less_often(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(worker_process, "WAITS", (0.05, 0.05, 60.0))
    text = """
print('{"ready": "x"}', flush=True)
input()
"""
    async with kept(*script(tmp_path, text)) as (process, states):
        for starts in (1, 2):
            await until(lambda starts=starts: states.count(None) == starts)
            with pytest.raises(Unavailable):
                await process.ask("ensure")
        await asyncio.sleep(0.5)
        assert states.count(None) == 2


async def test_a_passage_on_which_embedding_raises_costs_its_request_only(tmp_path):
    class Picky(WordEmbedder):
        def embed(self, texts):
            if any("\ud83d" in text for text in texts):
                raise TypeError("TextEncodeInput must be\na text")
            return super().embed(texts)

    embedder = Picky()
    store = VectorStore(str(tmp_path / "vectors"), embedder.name, embedder.size)
    worker = RetrievalWorker(embedder, store)
    worker.answer({"id": 1, "do": "ensure"})
    bad = worker.answer({"id": 2, "do": "find", "text": "\ud83d", "kinds": FIND["kinds"]})
    assert bad == {"id": 2, "refused": "find failed: TypeError: TextEncodeInput must be a text"}
    assert worker.answer({"id": 3, "do": "find", **FIND})["result"]["hits"] == {"runbook": []}
    store.close()


async def test_one_that_can_never_work_is_not_started_again(tmp_path):
    text = """print('{"problem": "the weights have another checksum"}')"""
    async with kept(*script(tmp_path, text)) as (process, states):
        await until(lambda: states[-1:] == ["the weights have another checksum"])
        await asyncio.sleep(0.3)
        assert states == [LOADING, "the weights have another checksum"]
        with pytest.raises(Unavailable, match="another checksum"):
            await process.ask("find", **FIND)


async def test_a_program_that_is_not_there_is_named(tmp_path):
    async with kept(str(tmp_path / "none")) as (_, states):
        await until(lambda: len(states) > 1)
        assert states[1] == "the process of embeddings does not start: No such file or directory"
