"""Two protocols of language models, as bytes that go and come: Ollama's and OpenAI's. Pure.

Ollama streams lines of JSON, OpenAI-compatible servers (vLLM, llama.cpp) server-sent events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from llm_enricher.model.server import ChatRequest, ModelCard, ModelFailure

SAID: Final = 200  # characters of an error that are quoted
NANO: Final = 1e9


@dataclass(frozen=True, slots=True)
class Piece:
    """What one line of a stream says. *ended* by its reason; *counts* where the server counts."""

    text: str = ""
    ended: str = ""
    counts: Mapping[str, float] = field(default_factory=dict)


class Wire(Protocol):
    tags: str  # path of the list of models
    chat: str

    def body(self, request: ChatRequest) -> Mapping[str, Any]: ...

    def piece(self, line: bytes) -> Piece | None:
        """None: the line says nothing. Raises ModelFailure for garbage and reported errors."""

    def cards(self, answer: Any) -> Sequence[ModelCard]:
        """The models in the answer to ``tags``; raises ModelFailure."""

    def pull(self, model: str) -> str: ...


class OllamaWire:
    tags, chat = "/api/tags", "/api/chat"

    def body(self, request: ChatRequest) -> Mapping[str, Any]:
        return {
            "model": request.model,
            "messages": _messages(request),
            "stream": True,
            "format": request.schema,
            "keep_alive": request.keep_alive,
            "options": dict(request.options) | {"num_predict": request.answer_tokens},
        }

    def piece(self, line: bytes) -> Piece | None:
        said = _object(line)
        _raise_error(said)
        text = _at(said, "message", "content")
        if not isinstance(text, str) or not isinstance(said.get("done"), bool):
            raise ModelFailure("garbage", f"a line is no part of an answer: {_quoted(line)}")
        if not said["done"]:
            return Piece(text)
        counts = {name: _number(said.get(name)) for name in ("prompt_eval_count", "eval_count")}
        took = _number(said.get("eval_duration")) / NANO
        return Piece(
            text,
            ended=str(said.get("done_reason") or "stop"),
            counts={
                "prompt": counts["prompt_eval_count"],
                "answer": counts["eval_count"],
                "rate": counts["eval_count"] / took if took > 0 else 0.0,
            },
        )

    def cards(self, answer: Any) -> Sequence[ModelCard]:
        return _cards(answer, "models", "name", lambda card: card["digest"])

    def pull(self, model: str) -> str:
        return f"ollama pull {model}"


class OpenAiWire:
    tags, chat = "/v1/models", "/v1/chat/completions"
    _names: Final = {"temperature", "top_p", "top_k", "min_p", "seed", "stop", "repeat_penalty"}

    def body(self, request: ChatRequest) -> Mapping[str, Any]:
        schema = {"name": "explanation", "schema": request.schema, "strict": True}
        known = {name: it for name, it in request.options.items() if name in self._names}
        return {
            "model": request.model,
            "messages": _messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
            "response_format": {"type": "json_schema", "json_schema": schema},
            "max_tokens": request.answer_tokens,
        } | known

    def piece(self, line: bytes) -> Piece | None:
        name, _, data = line.partition(b":")
        if name not in (b"data", b"error"):
            return None  # a comment that keeps the connection alive, an event's name
        if data.strip() == b"[DONE]":
            return Piece(ended="done")
        said = _object(data)
        _raise_error(said)
        usage = said.get("usage") or {}
        counts = {
            "prompt": _number(_at(usage, "prompt_tokens")),
            "answer": _number(_at(usage, "completion_tokens")),
        }
        choices = said.get("choices")
        if not isinstance(choices, list):
            raise ModelFailure("garbage", f"an event is no part of an answer: {_quoted(line)}")
        first = choices[0] if choices else {}
        text = _at(first, "delta", "content")
        return Piece(
            text if isinstance(text, str) else "",
            ended=str(_at(first, "finish_reason") or ""),
            counts=counts if any(counts.values()) else {},
        )

    def cards(self, answer: Any) -> Sequence[ModelCard]:
        return _cards(answer, "data", "id", _fingerprint)

    def pull(self, model: str) -> str:
        return f"start the server with a model that it calls {model}"


WIRES: Final[Mapping[str, Wire]] = {"ollama": OllamaWire(), "openai": OpenAiWire()}


def reported(body: bytes) -> str:
    """What a server says in the body of an error."""
    try:
        said = json.loads(body)
    except ValueError:
        return _quoted(body)
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return _quoted(str(message or said).encode())


def _messages(request: ChatRequest) -> Sequence[Mapping[str, str]]:
    return [
        {"role": "system", "content": request.system},
        {"role": "user", "content": request.user},
    ]


def _fingerprint(card: Mapping[str, Any]) -> str:
    """These servers tell no digest: all that they say of the model, but for when it was loaded."""
    lasting = {name: it for name, it in card.items() if name != "created"}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()


def _cards(answer: Any, key: str, name: str, digest: Any) -> Sequence[ModelCard]:
    try:
        return [ModelCard(str(card[name]), str(digest(card))) for card in answer[key]]
    except (KeyError, TypeError) as exc:
        raise ModelFailure("garbage", f"the list of models lacks {exc}") from exc


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise ModelFailure("garbage", f"a line is no JSON: {_quoted(line)}") from exc
    if not isinstance(said, dict):
        raise ModelFailure("garbage", f"a line is no object: {_quoted(line)}")
    return said


def _raise_error(said: Mapping[str, Any]) -> None:
    if said.get("error"):
        raise ModelFailure("failed", reported(json.dumps(said).encode()))


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0


def _quoted(said: bytes) -> str:
    text = " ".join(said.decode(errors="replace").split())
    return text if len(text) <= SAID else text[:SAID] + "…"
