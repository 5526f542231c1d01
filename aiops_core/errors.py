"""Errors that say what the system should do. Handlers raise them, the runtime acts."""

from __future__ import annotations

from pydantic import ValidationError


class AiopsError(Exception):
    """Base of all errors the platform raises on purpose; the docstring is the default message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class Reject(AiopsError):
    """This message can never be handled; bury it."""

    def __init__(self, message: str | None = None, outcome: str = "rejected") -> None:
        super().__init__(message)
        self.outcome = outcome  # as ``aiops_messages_handled_total`` counts it


class Unavailable(AiopsError):
    """Something this message needs is away; try again until it is back."""


class Premature(AiopsError):
    """What this message builds on has not arrived yet; try again, for a while."""


class Misconfigured(AiopsError):
    """The process cannot start with what it was given; say so in one line and leave with code 2."""


def first_of(problem: BaseException) -> BaseException:
    """The first error in the groups that task groups wrap it into.

    Raise it after ``except*``: before Python 3.11.4, an error raised inside is wrapped again.
    """
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def in_words(problem: object) -> str:
    """*problem* in one line; of a ValidationError places and rules, never what stood there."""
    if not isinstance(problem, ValidationError):
        return " ".join(str(problem).split())
    errors = problem.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, error['loc'])) or 'message'}: {error['msg']}" for error in errors[:20]
    )


def why(exc: Exception) -> str:
    """What is wrong with a file, without its number and path: whoever says it names the file."""
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
