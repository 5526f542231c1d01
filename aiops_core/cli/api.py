"""The REST API of incident-api, as the commands use it: an answer, or one line that says why not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import httpx
import typer

from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.settings import Settings

TIMEOUT = 10.0  # seconds
PREFIX = "/api/v3"

ApiOption = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="Where incident-api is; default: AIOPS_API_URL."),
]


class Refused(AiopsError):
    """The API answered, and the answer is no."""


class Api:
    """Calls below ``/api/v3``. Raises Unavailable when nobody answers, Refused with the problem."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextlib.contextmanager
    def open(cls, url: str | None, transport: httpx.BaseTransport | None = None) -> Iterator[Api]:
        base = url or Settings.read().api_url
        with httpx.Client(base_url=_checked(base), timeout=TIMEOUT, transport=transport) as client:
            yield cls(client)

    def get(self, path: str, **parameters: object) -> Any:
        return self._call("GET", path, params=_given(parameters))

    def post(self, path: str, **body: object) -> Any:
        return self._call("POST", path, json=_given(body))

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        url = self._client.base_url
        try:
            answer = self._client.request(method, f"{PREFIX}{path}", **arguments)
        except httpx.TimeoutException:
            raise Unavailable(
                f"incident-api at {url} did not answer within {TIMEOUT:g} s"
            ) from None
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"incident-api at {url} is not reachable ({exc}); is `aiops up` running?"
            ) from None
        if answer.is_success:
            return _decoded(answer)
        raise Refused(_problem(answer))


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Misconfigured(f"--api {url}: not a URL like http://127.0.0.1:8081")
    return url.rstrip("/")


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _decoded(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise Refused(f"{answer.url} answered something that is not JSON") from None


def _problem(answer: httpx.Response) -> str:
    """The title and detail of a problem document, or the bare status."""
    try:
        problem = answer.json()
        said = [str(problem[key]) for key in ("title", "detail") if problem.get(key)]
    except (ValueError, AttributeError, TypeError):
        said = []
    return ": ".join(said) or f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"
