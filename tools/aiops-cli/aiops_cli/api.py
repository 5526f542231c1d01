"""The REST API of incident-api, as the commands use it: an answer, or one line that says why not."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import httpx
import typer

from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.policy.settings import Settings

TIMEOUT = 10.0  # seconds
PREFIX = "/api/v3"

ApiOption = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="Where incident-api is; default: AIOPS_API_URL."),
]


class Refused(AiopsError):
    """The API answered, and the answer is no; *errors* are the mistakes of the request, if it has any:
    each its place (``body.devices.3.id``) and what is wrong there."""

    def __init__(self, message: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


@dataclass(frozen=True)
class Where:
    """The API that was asked for, *guessed* when nobody said where it is, and what we show to it."""

    url: str
    headers: Mapping[str, str]
    guessed: bool

    @classmethod
    def of(cls, given: str | None, settings: Settings) -> Self:
        url = _checked(given or settings.api_url)
        told = given is not None or "api_url" in settings.model_fields_set
        return cls(url, settings.api_headers, guessed=not told)

    @property
    def advice(self) -> str:
        """What may help when nobody answers there."""
        if self.guessed:
            return (
                "; start the fleet with `aiops up`, or say where it is with --api or AIOPS_API_URL"
            )
        return "; is the fleet running there?"


class Api:
    """Calls below ``/api/v3``. Raises Unavailable when nobody answers or what the API needs is away,
    Refused with the problem otherwise."""

    def __init__(self, client: httpx.Client, where: Where) -> None:
        self._client, self._where = client, where

    @classmethod
    @contextlib.contextmanager
    def open(cls, url: str | None, transport: httpx.BaseTransport | None = None) -> Iterator[Api]:
        where = Where.of(url, Settings.read())
        with httpx.Client(
            base_url=where.url,
            headers={**where.headers, **_actor()},
            timeout=TIMEOUT,
            transport=transport,
        ) as client:
            yield cls(client, where)

    def get(self, path: str, **parameters: object) -> Any:
        return self._call("GET", path, params=_given(parameters))

    def post(self, path: str, **body: object) -> Any:
        return self._call("POST", path, json=_given(body))

    def put(self, path: str, **body: object) -> Any:
        return self._call("PUT", path, json=_given(body))

    def patch(self, path: str, **body: object) -> Any:
        return self._call("PATCH", path, json=_given(body))

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        where = self._where
        try:
            answer = self._client.request(method, f"{PREFIX}{path}", **arguments)
        except httpx.TimeoutException:
            raise Unavailable(
                f"incident-api at {where.url} did not answer within {TIMEOUT:g} s{where.advice}"
            ) from None
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"incident-api at {where.url} is not reachable ({exc}){where.advice}"
            ) from None
        if answer.is_success:
            return _decoded(answer)
        said = _problem(answer) + _remedy(answer.status_code, bool(where.headers))
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Unavailable(said)
        raise Refused(said, list(_errors(answer)))


def _actor() -> Mapping[str, str]:
    """Who acts, for timelines and owners; the token decides what they may."""
    with contextlib.suppress(KeyError, OSError):  # a container may have no name for its user
        if (name := getpass.getuser()).isascii() and name.isprintable():
            return {"X-Aiops-Actor": name}
    return {}


def _remedy(status: int, token: bool) -> str:
    """What can be done about a refusal because of who asks; *token*: whether one was shown."""
    if status == httpx.codes.UNAUTHORIZED:
        wrong = "AIOPS_API_TOKEN holds one that it does not know"
        return f"; {wrong if token else 'set AIOPS_API_TOKEN to one of its tokens'}"
    if status == httpx.codes.FORBIDDEN:
        return f" (AIOPS_API_TOKEN is {'set, its role decides' if token else 'not set'})"
    return ""


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


def _errors(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """The mistakes that a problem document lists."""
    with contextlib.suppress(ValueError, AttributeError, TypeError, KeyError):
        for error in answer.json().get("errors") or ():
            yield str(error["field"]), str(error["message"])
