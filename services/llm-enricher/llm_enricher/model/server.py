"""The port between us and a server of language models, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from aiops_core.errors import AiopsError

Failing = Literal[
    "away",  # no connection
    "missing",  # the server lacks the model
    "refused",  # it does not take the request
    "failed",  # it says that something broke
    "slow",  # no first token in time
    "late",  # no whole answer in time
    "cut_off",  # the answer ended in the middle
    "garbage",  # what came is not what the protocol or the schema says
    "unchecked",  # whether the model may be used is still being examined
    "unfit",  # it failed the examination
    "too_slow",  # it is used only for severities that the policy names
]
COUNTED: Final = frozenset({"away", "failed", "slow", "late", "cut_off", "garbage"})
WORTH_RETRY: Final = frozenset({"away", "failed", "cut_off", "garbage"})


class ModelFailure(AiopsError):
    """There is no answer; *kind* says why."""

    def __init__(self, kind: Failing, message: str | None = None) -> None:
        super().__init__(message or kind)
        self.kind: Failing = kind

    @property
    def counts(self) -> bool:
        """Whether a circuit breaker counts it: the server or the model does badly."""
        return self.kind in COUNTED

    @property
    def worth_retry(self) -> bool:
        """Whether the same question may succeed a moment later, at no great cost."""
        return self.kind in WORTH_RETRY


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that the server has; *digest* changes when its weights do."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """*schema* is the JSON schema that the answer keeps. Times in seconds."""

    model: str
    system: str
    user: str
    schema: Mapping[str, Any]
    options: Mapping[str, float | int | str]
    keep_alive: str
    answer_tokens: int
    first_token: float
    whole_answer: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole text of an answer. Times in seconds from the request on; tokens are 0 when the
    server does not count them. *cut*: it ended at the limit of its tokens."""

    text: str
    prompt_tokens: int
    answer_tokens: int
    first_token: float
    total: float
    tokens_per_second: float
    cut: bool = False


class ModelServer(Protocol):
    async def models(self) -> Sequence[ModelCard]:
        """What it has. Raises ModelFailure."""

    async def ask(self, request: ChatRequest) -> Reply:
        """Its answer. Raises ModelFailure; when it is cancelled the server stops as well."""

    def pull(self, model: str) -> str:
        """What an operator does when the server lacks *model*."""
