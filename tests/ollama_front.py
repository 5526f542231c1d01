"""Ollama's protocol in front of llama.cpp's own server, which xllamacpp runs in this process.

    python ollama_front.py NAME FILE.gguf [THREADS]     prints its address when the model is loaded

``format`` becomes a grammar, ``options`` the sampling, server-sent events Ollama's lines,
llama.cpp's timings Ollama's counters. A client that leaves frees the engine at once. ``/v1`` is
llama.cpp's own.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import xllamacpp
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

SAMPLING = {"temperature", "top_k", "top_p", "min_p", "seed", "stop", "repeat_penalty"}
CONTEXT = 4096
MS = 1_000_000  # nanoseconds
ENOUGH = 1 << 20  # bytes of the weights of which the digest is made


def engine(weights: Path, threads: int) -> xllamacpp.Server:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx, parameters.n_parallel = CONTEXT, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames = ["127.0.0.1"]
    parameters.use_jinja, parameters.warmup = True, False
    parameters.ui, parameters.offline = False, True
    return xllamacpp.Server(parameters)


def asked(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request to Ollama as one to llama.cpp."""
    options = body.get("options") or {}
    request = {name: it for name, it in options.items() if name in SAMPLING}
    if "num_predict" in options:
        request["max_tokens"] = options["num_predict"]
    if isinstance(schema := body.get("format"), dict):
        named = {"name": "answer", "schema": schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": named}
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    return request | usage | {"messages": body.get("messages", [])}


class Front:
    """*url* is that of llama.cpp's own server."""

    def __init__(self, name: str, weights: Path, url: str) -> None:
        self.name, self._llama = name, httpx.AsyncClient(base_url=url, timeout=None)
        with weights.open("rb") as file:
            digest = hashlib.sha256(file.read(ENOUGH)).hexdigest()
        self._card = {"name": name, "model": name, "digest": digest, "size": weights.stat().st_size}
        self.app = FastAPI()
        self.app.get("/api/tags")(self.tags)
        self.app.post("/api/chat")(self.chat)
        self.app.api_route("/v1/{path:path}", methods=["GET", "POST"])(self.openai)

    async def tags(self) -> dict[str, Any]:
        return {"models": [self._card]}

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        if body.get("model") != self.name:
            return JSONResponse({"error": f"model '{body.get('model')}' not found"}, 404)
        return StreamingResponse(self._lines(body), media_type="application/x-ndjson")

    async def openai(self, path: str, request: Request) -> Response:
        sent = self._llama.build_request(
            request.method,
            f"/v1/{path}",
            content=await request.body(),
            headers={"content-type": "application/json"},
        )
        answer = await self._llama.send(sent, stream=True)
        kind = answer.headers.get("content-type")
        return StreamingResponse(answer.aiter_raw(), answer.status_code, media_type=kind)

    async def _lines(self, body: Mapping[str, Any]) -> AsyncIterator[str]:
        started, reason, timings = time.time_ns(), "stop", dict[str, Any]()
        sent = asked(body)
        async with self._llama.stream("POST", "/v1/chat/completions", json=sent) as answer:
            if answer.status_code != 200:
                yield json.dumps({"error": (await answer.aread()).decode()}) + "\n"
                return
            async for event in answer.aiter_lines():
                if event.startswith("data: {"):
                    said = json.loads(event.removeprefix("data: "))
                    timings = said.get("timings") or timings
                    for choice in said.get("choices", []):
                        reason = choice.get("finish_reason") or reason
                        yield self._line(choice["delta"].get("content") or "")
        yield self._line(
            "",
            done=True,
            done_reason=reason,
            total_duration=time.time_ns() - started,
            prompt_eval_count=timings.get("prompt_n", 0) + timings.get("cache_n", 0),
            prompt_eval_duration=int(timings.get("prompt_ms", 0) * MS),
            eval_count=timings.get("predicted_n", 0),
            eval_duration=int(timings.get("predicted_ms", 0) * MS),
        )

    def _line(self, content: str, **fields: Any) -> str:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        message = {"role": "assistant", "content": content}
        said = {"model": self.name, "created_at": at, "message": message, "done": False}
        return json.dumps(said | fields) + "\n"


def main(name: str, file: str, threads: str = "2") -> None:
    server = engine(Path(file), int(threads))
    app = Front(name, Path(file), server.listening_address).app
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
    socket = config.bind_socket()
    print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[socket])


if __name__ == "__main__":
    main(*sys.argv[1:])
