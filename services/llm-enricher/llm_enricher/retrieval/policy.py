"""``retrieval`` of ``policies/llm.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aiops_core.models import Fraction
from aiops_core.policy.file import Section

FilterName = Literal["ship", "domain", "category"]
Count = Annotated[int, Field(ge=1)]


class CollectionPolicy(Section):
    """When a passage of one collection is similar enough to be shown."""

    similarity: Fraction  # cosine of its vector and that of the question, at least
    words: Fraction  # part of the question's words that it has, by weight, at least
    filters: tuple[FilterName, ...] = ()  # what must be as in the incident that is asked about


class IncidentsPolicy(CollectionPolicy):
    """The collection of resolved incidents."""

    kept: Annotated[int, Field(ge=1, le=20_000)]  # newest ones that are searched


class RetrievalPolicy(Section):
    """How documents for an explanation are found."""

    documents: Annotated[int, Field(ge=1, le=20)]  # of both collections together
    candidates: Annotated[int, Field(ge=1, le=200)]  # of each ranking, before they are fused
    rank_constant: Count  # k of reciprocal rank fusion, 1 / (k + rank)
    budget_ms: Count  # then the words alone decide, unless who asks waits for another time
    refresh_s: Annotated[float, Field(ge=1)]  # between two looks at folder, table and vectors
    batch: Annotated[int, Field(ge=1, le=64)]  # passages that are embedded together
    runbooks: CollectionPolicy
    incidents: IncidentsPolicy
