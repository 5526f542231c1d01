"""A server of language models by HTTP, streaming, with limits on time and size."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final, Literal

import httpx

from aiops_core.errors import Misconfigured
from aiops_core.observability import metrics
from llm_enricher.model.server import ChatRequest, ModelCard, ModelFailure, Reply
from llm_enricher.model.wires import WIRES, Piece, Wire, reported

Api = Literal["ollama", "openai"]
DEPENDENCY: Final = "llm"
CONNECT: Final = 3.0  # seconds
LISTED_WITHIN: Final = 5.0  # seconds
LARGEST: Final = 256 * 1024  # bytes of one line, of an error, of a list
LONGEST: Final = 32 * 1024  # characters of an answer


class HttpModelServer:
    """One server; connections are made when they are needed."""

    def __init__(self, http: httpx.AsyncClient, wire: Wire) -> None:
        self._http, self._wire = http, wire

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, api: Api, token: str = "") -> AsyncIterator[HttpModelServer]:
        """Raises Misconfigured for what is no address."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            http = httpx.AsyncClient(
                base_url=url,
                headers=headers,
                timeout=httpx.Timeout(None, connect=CONNECT),
                trust_env=False,
            )
        except (httpx.InvalidURL, ValueError) as exc:
            raise Misconfigured(f"AIOPS_LLM_URL: {url}: no address of a server: {exc}") from exc
        if http.base_url.scheme not in {"http", "https"} or not http.base_url.host:
            raise Misconfigured(f"AIOPS_LLM_URL: {url}: wanted is http://host:port")
        async with http:
            yield cls(http, WIRES[api])

    def pull(self, model: str) -> str:
        return self._wire.pull(model)

    async def models(self) -> Sequence[ModelCard]:
        try:
            async with (
                asyncio.timeout(LISTED_WITHIN),
                self._http.stream("GET", self._wire.tags) as response,
            ):
                body = await _body(response)
                if response.status_code != httpx.codes.OK:
                    raise ModelFailure("failed", f"{response.status_code}: {reported(body)}")
                return self._wire.cards(_json(body))
        except TimeoutError as exc:
            raise ModelFailure("away", f"no list of models within {LISTED_WITHIN:g} s") from exc
        except (httpx.HTTPError, httpx.StreamError) as exc:
            raise ModelFailure("away", str(exc) or type(exc).__name__) from exc

    async def ask(self, request: ChatRequest) -> Reply:
        hearing = Hearing(request)
        try:
            async with (
                asyncio.timeout(request.first_token) as limit,
                contextlib.aclosing(self._pieces(request)) as pieces,
            ):
                async for piece in pieces:
                    if hearing.hear(piece):
                        limit.reschedule(hearing.began + request.whole_answer)
        except TimeoutError as exc:
            raise hearing.overdue() from exc
        except httpx.ConnectError as exc:
            raise ModelFailure("away", str(exc) or "no connection") from exc
        except (httpx.HTTPError, httpx.StreamError) as exc:
            raise ModelFailure("cut_off", str(exc) or type(exc).__name__) from exc
        reply = hearing.reply()
        _count(reply)
        return reply

    async def _pieces(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        body = dict(self._wire.body(request))
        async with self._http.stream("POST", self._wire.chat, json=body) as response:
            if response.status_code != httpx.codes.OK:
                raise self._refusal(response.status_code, await _body(response), request.model)
            async for line in _lines(response):
                if line and (piece := self._wire.piece(line)):
                    yield piece

    def _refusal(self, status: int, body: bytes, model: str) -> ModelFailure:
        said = f"{status}: {reported(body)}"
        if status == httpx.codes.NOT_FOUND:
            return ModelFailure("missing", f"{said}; {self.pull(model)}")
        busy = status == httpx.codes.TOO_MANY_REQUESTS or status >= 500
        return ModelFailure("failed" if busy else "refused", said)


class Hearing:
    """An answer as it comes."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self.began = asyncio.get_running_loop().time()
        self._started = time.perf_counter()
        self._texts: list[str] = []
        self._size = self._pieces = 0
        self._first = self._newest = 0.0  # seconds since the start
        self._ended = ""
        self._counts: dict[str, float] = {}

    def hear(self, piece: Piece) -> bool:
        """Whether *piece* has the first text. Raises ModelFailure for one that never ends."""
        self._ended = piece.ended if piece.ended and self._ended in ("", "done") else self._ended
        self._counts |= piece.counts
        if not piece.text:
            return False
        self._newest = time.perf_counter() - self._started
        self._texts.append(piece.text)
        self._pieces += 1
        self._size += len(piece.text)
        if self._size > LONGEST:
            raise ModelFailure("garbage", f"an answer of more than {LONGEST} characters")
        if self._pieces > 1:
            return False
        self._first = self._newest
        return True

    def overdue(self) -> ModelFailure:
        if self._texts:
            whole = self._request.whole_answer
            return ModelFailure("late", f"no whole answer within {whole:g} s")
        return ModelFailure("slow", f"no token within {self._request.first_token:g} s")

    def reply(self) -> Reply:
        """Raises ModelFailure when the stream ended before the answer did."""
        if not self._ended:
            raise ModelFailure("cut_off", "the answer ended in the middle")
        tokens = int(self._counts.get("answer", 0)) or self._pieces
        spoken = self._newest - self._first
        measured = (tokens - 1) / spoken if tokens > 1 and spoken > 0 else 0.0
        return Reply(
            text="".join(self._texts),
            prompt_tokens=int(self._counts.get("prompt", 0)),
            answer_tokens=tokens,
            first_token=self._first,
            total=time.perf_counter() - self._started,
            tokens_per_second=self._counts.get("rate") or measured,
            cut=self._ended == "length",
        )


def _count(reply: Reply) -> None:
    metrics.LLM_LATENCY.observe(reply.total)
    metrics.LLM_FIRST_TOKEN.observe(reply.first_token)
    if reply.tokens_per_second:
        metrics.LLM_TOKENS_PER_SECOND.observe(reply.tokens_per_second)


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Lines, of which none is larger than LARGEST: httpx itself would collect without an end."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.strip()
        if len(rest) > LARGEST:
            raise ModelFailure("garbage", f"a line of more than {LARGEST} bytes")
    yield rest.strip()


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise ModelFailure("garbage", f"a body of more than {LARGEST} bytes")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return httpx.Response(200, content=body).json()
    except ValueError as exc:
        raise ModelFailure("garbage", "the list of models is no JSON") from exc
