"""Refused requests: the exception, and its RFC 9457 problem document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiops_core.errors import AiopsError

MEDIA_TYPE = "application/problem+json"


class RequestBody(BaseModel):
    """A field that is not known is a mistake of the request."""

    model_config = ConfigDict(extra="forbid")


class EditBody(RequestBody):
    """Fields that are left out stay."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None for _, value in self):
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        return self


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


def problem_response(path: str, problem: Problem) -> JSONResponse:
    document = ProblemDocument(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=path,
        errors=list(problem.errors) or None,
    )
    content = document.model_dump(exclude_none=True)
    headers = dict(problem.headers or {})
    return JSONResponse(content, problem.status, headers, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, for OpenAPI."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }
