"""Exceptions as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from aiops_core.adapters.clickhouse_errors import QueryFailed, TookTooLong
from aiops_core.errors import AiopsError, Unavailable
from aiops_core.utils import StructuredLogger
from incident_api import __version__

log = StructuredLogger.get_logger(name="http", service="incident-api", version=__version__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"  # seconds after which a dependency may be back


class FieldError(BaseModel):
    """One mistake in a request."""

    field: str = Field(examples=["query.limit"])
    message: str = Field(examples=["Input should be less than or equal to 500"])


class ProblemDocument(BaseModel):
    """RFC 9457. ``detail`` is for a person; ``errors`` lists the mistakes of a request."""

    type: str = "about:blank"
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["incident 4f1c is resolved; reopen it first"])
    instance: str = Field(examples=["/api/v3/incidents/4f1c/ack"])
    errors: list[FieldError] | None = None


class Problem(AiopsError):
    """A request that is refused, with its HTTP status."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.errors = status, detail, headers, errors


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, for OpenAPI."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }


def problem(
    path: str,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] | None = None,
) -> JSONResponse:
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path,
        errors=list(errors) if errors else None,
    )
    content = document.model_dump(exclude_none=True)
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _known)
    app.add_exception_handler(TookTooLong, _too_long)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(QueryFailed, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _known(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Problem)
    return problem(request.url.path, exc.status, exc.detail, exc.headers, exc.errors)


async def _unavailable(request: Request, exc: Exception) -> JSONResponse:
    return problem(request.url.path, 503, str(exc), {"Retry-After": RETRY_AFTER})


async def _too_long(request: Request, exc: Exception) -> JSONResponse:
    return problem(request.url.path, 504, str(exc))


async def _invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    errors = [
        FieldError(field=".".join(map(str, e["loc"])), message=str(e["msg"])) for e in exc.errors()
    ]
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors[:5])
    return problem(request.url.path, 422, detail, errors=errors)


async def _http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    return problem(request.url.path, exc.status_code, str(exc.detail), exc.headers)


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    """A bug: the traceback is in the log, not in the answer."""
    log.error("request failed", method=request.method, path=request.url.path, exc_info=exc)
    return problem(request.url.path, 500, "internal error; the service's log has the cause")
