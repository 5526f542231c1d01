"""Exceptions as HTTP answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from aiops_core.adapters.clickhouse_errors import QueryFailed, TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.problems import MEDIA_TYPE, FieldError, Problem, ProblemDocument

log = StructuredLogger.get_logger(name="http", service="incident-api", version=__version__)

RETRY_AFTER = "2"  # seconds after which a dependency may be back


def problem_response(
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
    return problem_response(request.url.path, exc.status, exc.detail, exc.headers, exc.errors)


async def _unavailable(request: Request, exc: Exception) -> JSONResponse:
    return problem_response(request.url.path, 503, str(exc), {"Retry-After": RETRY_AFTER})


async def _too_long(request: Request, exc: Exception) -> JSONResponse:
    return problem_response(request.url.path, 504, str(exc))


async def _invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    errors = [
        FieldError(field=".".join(map(str, e["loc"])), message=str(e["msg"])) for e in exc.errors()
    ]
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors[:5])
    return problem_response(request.url.path, 422, detail, errors=errors)


async def _http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    return problem_response(request.url.path, exc.status_code, str(exc.detail), exc.headers)


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    """A bug: the traceback is in the log, not in the answer."""
    log.error("request failed", method=request.method, path=request.url.path, exc_info=exc)
    return problem_response(
        request.url.path, 500, "internal error; the service's log has the cause"
    )
