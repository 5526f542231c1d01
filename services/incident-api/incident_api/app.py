"""The HTTP application: routes, probe paths, problem documents and the guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from aiops_core.adapters.clickhouse_errors import QueryFailed, TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.observability.probe import Readiness, answer
from aiops_core.utils import StructuredLogger
from incident_api import __version__
from incident_api.devices import routes as devices
from incident_api.devices import suggestion_routes as suggestions
from incident_api.digest import routes as digest
from incident_api.guard import Guard
from incident_api.incidents import routes as incidents
from incident_api.ledger import routes as ledger
from incident_api.parameters import Components
from incident_api.problems import FieldError, Problem, ProblemDocument, problem_response
from incident_api.recurrence import routes as recurrence
from incident_api.ship import routes as ship
from incident_api.silences import routes as silences
from incident_api.stats import routes as stats
from incident_api.trace import routes as trace

log = StructuredLogger.get_logger(name="http", service="incident-api", version=__version__)

RETRY_AFTER = "2"  # seconds after which a dependency may be back
UNEXPECTED = Problem(500, "internal error; the service's log has the cause")
ANSWERED = (Problem, Unavailable, QueryFailed, HTTPException, RequestValidationError, Exception)
ABOUT = """Incidents of the ship, how they came about, and how well the platform keeps its promises.

Times are UTC. Lists are pages: pass `next_cursor` as `cursor` to read on. Errors are RFC 9457
problem documents. With configured tokens send `Authorization: Bearer <token>`; without them only
this host is served.
"""


def build(components: Components) -> FastAPI:
    app = FastAPI(
        title="AIOps incident API",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # FastAPI's pages load their scripts from the internet, which a ship lacks
        redoc_url=None,
    )
    app.state.components = components
    nouns = (incidents, recurrence, digest, stats, trace, ledger)
    for noun in (*nouns, suggestions, devices, ship, silences):
        app.include_router(noun.router)
    _probe(app, components.readiness)
    for kind in ANSWERED:
        app.add_exception_handler(kind, _refused)
    app.add_middleware(Guard, tokens=components.tokens)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _probe(app: FastAPI, readiness: Readiness) -> None:
    def add(path: str, summary: str, media: str, statuses: tuple[int, ...]) -> None:
        async def endpoint() -> Response:
            status, content_type, body = answer(path, readiness)
            return Response(body, status, media_type=content_type)

        app.add_api_route(
            path,
            endpoint,
            summary=summary,
            tags=["probe"],
            operation_id=path.strip("/"),
            response_class=Response,
            responses={s: {"content": {media: {}}, "description": summary} for s in statuses},
        )

    add("/health", "The process answers", "application/json", (200,))
    add("/ready", "Whether it can do its work, and what it lacks", "application/json", (200, 503))
    add("/metrics", "Prometheus metrics", "text/plain", (200,))


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's schema, with problem documents instead of its own error bodies."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = schema["components"]["schemas"]
        for ours in (FieldError, ProblemDocument):
            schemas[ours.__name__] = ours.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            schemas[ours.__name__].pop("$defs", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{}, {"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema


async def _refused(request: Request, exc: Exception) -> JSONResponse:
    problem = _problem_of(exc)
    if problem is UNEXPECTED:  # a bug: the traceback is in the log, not in the answer
        log.error("request failed", method=request.method, path=request.url.path, exc_info=exc)
    return problem_response(request.url.path, problem)


def _problem_of(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case TookTooLong():
            return Problem(504, str(exc))
        case Unavailable() | QueryFailed():
            return Problem(503, str(exc), {"Retry-After": RETRY_AFTER})
        case HTTPException():
            return Problem(exc.status_code, str(exc.detail), exc.headers)
        case RequestValidationError():
            errors = [
                FieldError(field=".".join(map(str, one["loc"])), message=str(one["msg"]))
                for one in exc.errors()
            ]
            detail = "; ".join(f"{one.field}: {one.message}" for one in errors[:5])
            return Problem(422, detail, errors=errors)
    return UNEXPECTED
