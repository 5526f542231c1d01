"""PromQL instant queries against VictoriaMetrics (or Prometheus: the same API)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from aiops_core.errors import AiopsError, Misconfigured, Unavailable

DEPENDENCY = "victoriametrics"
TIMEOUT = 5.0  # seconds that an answer may take
LARGEST = 8 * 1024 * 1024  # bytes of an answer
REASON = 300  # characters of an error that are quoted
_REFUSED = {400, 422}  # a parse error: Prometheus answers 400, VictoriaMetrics 422


class QueryRefused(AiopsError):
    """The server cannot answer this query; asking again would not help."""


@dataclass(frozen=True, slots=True)
class Point:
    """One series of an answer and its value."""

    labels: Mapping[str, str]
    value: float


class VictoriaMetrics:
    """One server; connections are made when they are needed."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[VictoriaMetrics]:
        try:
            http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False)
        except (httpx.InvalidURL, ValueError) as exc:
            raise Misconfigured(f"{url}: no address of VictoriaMetrics: {exc}") from exc
        async with http:
            yield cls(http)

    async def instant(self, query: str, *, at: datetime, freshness: timedelta) -> Sequence[Point]:
        """What *query* is at the time *at*, from samples that are not older than *freshness*.

        Raises Unavailable while the server does not answer, QueryRefused for what it will never.
        """
        asked = {
            "query": query,
            "time": f"{at.timestamp():.3f}",
            "max_lookback": f"{freshness.total_seconds():g}s",  # VictoriaMetrics' name of it
            "lookback_delta": f"{freshness.total_seconds():g}s",  # Prometheus'
            "nocache": "1",  # else VictoriaMetrics answers with what was 30 s ago
        }
        status, body = await self._get("/api/v1/query", asked)
        answer = _object(body)
        if status in _REFUSED:
            raise QueryRefused(_reason(answer, body))
        if status != httpx.codes.OK or answer.get("status") != "success":
            raise Unavailable(f"victoriametrics answers {status}: {_reason(answer, body)}")
        return _points(answer.get("data"))

    async def _get(self, path: str, asked: Mapping[str, str]) -> tuple[int, bytes]:
        body = bytearray()
        try:
            async with self._http.stream("GET", path, params=asked) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST:
                        raise QueryRefused(f"the answer is larger than {LARGEST >> 20} MiB")
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable(f"victoriametrics: {exc or type(exc).__name__}") from exc
        return response.status_code, bytes(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(answer: Mapping[str, Any], body: bytes) -> str:
    """The first line of what the server says, without its preamble that repeats the query."""
    said = str(answer.get("error") or body.decode(errors="replace") or "nothing")
    line = said.strip().splitlines()[0] if said.strip() else "nothing"
    return line if len(line) <= REASON else f"…{line[-REASON:]}"


def _points(data: Any) -> Sequence[Point]:
    kind = data.get("resultType") if isinstance(data, dict) else None
    try:
        if kind == "scalar":
            return [Point({}, float(data["result"][1]))]
        if kind == "vector":
            return [Point(one["metric"], float(one["value"][1])) for one in data["result"]]
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise Unavailable(f"victoriametrics answers what is no result: {exc!r}") from exc
    raise QueryRefused(f"the result is a {kind}, wanted is one value for each series")
