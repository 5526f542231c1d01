"""A client of incident-api for the commands: an answer, or an error of one line."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import httpx
import typer

from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.policy.settings import Settings

TIMEOUT = 10.0  # seconds
PREFIX = "/api/v3"
START = "; start the fleet with `aiops up`, or say where it is with --api or AIOPS_API_URL"
RUNNING = "; is the fleet running there?"

ApiOption = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="URL of incident-api; default: AIOPS_API_URL."),
]


class ApiRefused(AiopsError):
    """The API refused the request.

    *errors* are the mistakes in the request, if any: the place of each (``body.devices.3.id``) and
    what is wrong there.
    """

    def __init__(self, message: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class Api:
    """Calls below ``/api/v3``. *advice* ends the error message when nobody answers.

    Raises Unavailable when the API or something it needs is away, otherwise ApiRefused.
    """

    def __init__(self, client: httpx.Client, advice: str = "") -> None:
        self._client, self._advice = client, advice

    @classmethod
    @contextlib.contextmanager
    def open(cls, url: str | None, transport: httpx.BaseTransport | None = None) -> Iterator[Api]:
        """Calls to *url*, by default to AIOPS_API_URL."""
        settings = Settings.read()
        is_stated = url is not None or "api_url" in settings.model_fields_set
        address = url or settings.api_url
        if not address.startswith(("http://", "https://")):
            raise Misconfigured(f"--api {address}: not a URL like http://127.0.0.1:8081")
        with httpx.Client(
            base_url=address.rstrip("/"),
            headers={**settings.api_headers, **_actor()},
            timeout=TIMEOUT,
            transport=transport,
        ) as client:
            yield cls(client, RUNNING if is_stated else START)

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
        url = str(self._client.base_url).rstrip("/")
        try:
            answer = self._client.request(method, f"{PREFIX}{path}", **arguments)
        except httpx.TimeoutException:
            raise Unavailable(
                f"incident-api at {url} did not answer within {TIMEOUT:g} s{self._advice}"
            ) from None
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"incident-api at {url} is not reachable ({exc}){self._advice}"
            ) from None
        if answer.is_success:
            try:
                return answer.json()
            except ValueError:
                raise ApiRefused(f"{answer.url} answered something that is not JSON") from None
        has_token = "authorization" in self._client.headers
        problem = _problem(answer) + _remedy(answer.status_code, has_token)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Unavailable(problem)
        raise ApiRefused(problem, list(_errors(answer)))


def _actor() -> Mapping[str, str]:
    """The name of the user, for timelines and owners. Permissions come from the token."""
    with contextlib.suppress(KeyError, OSError):  # a container may have no name for its user
        if (name := getpass.getuser()).isascii() and name.isprintable():
            return {"X-Aiops-Actor": name}
    return {}


def _remedy(status: int, has_token: bool) -> str:
    """The end of an error message about permissions."""
    if status == httpx.codes.UNAUTHORIZED:
        wrong = "AIOPS_API_TOKEN holds one that it does not know"
        return f"; {wrong if has_token else 'set AIOPS_API_TOKEN to one of its tokens'}"
    if status == httpx.codes.FORBIDDEN:
        return f" (AIOPS_API_TOKEN is {'set, its role decides' if has_token else 'not set'})"
    return ""


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _problem(answer: httpx.Response) -> str:
    """The title and detail of a problem document, otherwise the status."""
    try:
        problem = answer.json()
        said = [str(problem[key]) for key in ("title", "detail") if problem.get(key)]
    except (ValueError, AttributeError, TypeError):
        said = []
    return ": ".join(said) or f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"


def _errors(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """The mistakes in a problem document: place and text."""
    with contextlib.suppress(ValueError, AttributeError, TypeError, KeyError):
        for error in answer.json().get("errors") or ():
            yield str(error["field"]), str(error["message"])
