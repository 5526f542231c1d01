"""What is searched, and for whom it is. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

from aiops_core.models import Record, Text, derived_id
from llm_enricher.question import Document
from llm_enricher.retrieval.policy import FilterName

Kind = Literal["incident", "runbook"]
Redact = Callable[[str], str]
ANY = "*"  # in the place of a ship, domain or category: all of them


class Scope(NamedTuple):
    """Whom a question is about; an empty value leaves that open."""

    ship: str = ""
    domain: str = ""
    category: str = ""

    def only(self, names: Sequence[FilterName]) -> dict[str, str]:
        """What a passage must be for, by field: of *names*, those that are known."""
        values = {"ship": self.ship, "domain": self.domain, "category": self.category}
        return {name: values[name] for name in names if values[name]}


ANYWHERE = Scope()


class Passage(Record):
    """A part of a runbook, or a resolved incident with what ended it.

    *about* says what the whole runbook is about; it is searched with each part, and not shown.
    *ship*, *domain*, *category*: whom it is for; ``*``: all. *order*: of two incidents the newer
    one has the greater.
    """

    kind: Kind
    id: Text
    title: Text
    text: str
    about: str = ""
    resolution: str = ""
    ship: tuple[Text, ...] = (ANY,)
    domain: tuple[Text, ...] = (ANY,)
    category: tuple[Text, ...] = (ANY,)
    order: float = 0.0

    @property
    def whole(self) -> str:
        """All that is searched."""
        parts = (self.title, self.about, self.text, self.resolution)
        return "\n".join(part for part in parts if part)

    @cached_property
    def digest(self) -> str:
        """Changes with anything that is stored."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def point(self) -> str:
        """The id of its point in Qdrant, which wants a UUID."""
        return derived_id(self.kind, self.id)

    @property
    def source(self) -> str:
        """The runbook that it is a part of, or the incident."""
        return self.id.partition("#")[0]

    def fits(self, wanted: dict[str, str]) -> bool:
        """Whether it is for all values in *wanted*, by field."""
        return all({ANY, value} & {*getattr(self, name)} for name, value in wanted.items())

    def document(self, score: float, *, lexical: bool) -> Document:
        return Document(
            kind=self.kind,
            id=self.id,
            title=self.title,
            text=self.text,
            score=min(max(score, 0.0), 1.0),
            resolution=self.resolution,
            lexical=lexical,
        )
