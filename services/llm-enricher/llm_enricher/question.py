"""What is known of an incident when it is explained: itself, and facts around it. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from aiops_core.models import (
    Domain,
    Evidence,
    Fraction,
    Incident,
    Record,
    Severity,
    Text,
    UtcDatetime,
)

PARTS = " — "  # between the titles of a runbook and of its parts
WARNING = re.compile(r"\b(?:not to do|do not|don.t|never|avoid|harmful)\b", re.IGNORECASE)


class MemberKind(Record):
    """The members of an incident that are of one type, on one device and from one service.

    *newest* is the newest of them that is kept. *cleared*: all of them have recovered.
    """

    device: str
    service: str
    anomaly_type: str
    domain: Domain
    count: Annotated[int, Field(ge=1)]
    first: UtcDatetime
    last: UtcDatetime
    severity: Severity
    newest: Evidence
    cleared: bool = False


class ContextFact(Record):
    """Something around an incident that was no anomaly: a line, a reading, a probe, a change.

    *fine*: it was checked, and is as it should be; what it speaks of is not the cause.
    """

    id: Text = Field(description="what an explanation cites, such as ``line:`` + tracking id")
    kind: Literal["line", "reading", "probe", "maintenance", "change", "login", "neighbour"]
    ts: UtcDatetime
    device: str = ""
    service: str = ""
    text: str
    fine: bool = False


class Document(Record):
    """A passage of a runbook, or a resolved incident with what ended it.

    *lexical*: it was found by its words alone, as no embedding was at hand.
    """

    kind: Literal["incident", "runbook"]
    id: Text
    title: str
    text: str
    score: Fraction
    resolution: str = ""
    lexical: bool = False

    @property
    def whole_title(self) -> str:
        """Of the runbook that this is a part of."""
        return self.title.partition(PARTS)[0]

    @property
    def part(self) -> str:
        """The headings of this part of a runbook; of one without parts its title."""
        return self.title.partition(PARTS)[2] or self.title


class Question(Record):
    """An incident with what an explanation may be made of, and cite.

    *missing* says what could not be asked, and why, such as ``context: without clickhouse``.
    """

    incident: Incident
    kinds: tuple[MemberKind, ...] = ()
    context: tuple[ContextFact, ...] = ()
    documents: tuple[Document, ...] = ()
    missing: tuple[str, ...] = ()
