"""Resolved incidents as passages, and the words of an open one that are searched for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from aiops_core.gist import gist
from aiops_core.models import Domain, Incident
from llm_enricher.question import Question
from llm_enricher.retrieval.passage import Passage, Redact, Scope

KINDS_SAID = 5  # kinds of members whose newest message is part of the words
READ_MOST = 20  # messages of which those are chosen
RESOLUTION_MOST = 600  # characters
# What people and recoveries said of the end. A reason that is a bare word says only that it ended.
ENDINGS = ("cleared", "resolve", "comment")
BARE = frozenset({"recovered", "expired", "resolve", "resolved", "reason recovered", "comment"})


class Ended(NamedTuple):
    """An incident that is over; *said*: what was said of its end and in comments, oldest first."""

    id: str
    ship: str
    domain: str
    category: str
    title: str
    types: Sequence[str]
    messages: Sequence[str]
    said: Sequence[str]
    updated: datetime


def passage_of(ended: Ended, redact: Redact) -> Passage:
    """Raises ValidationError for an incident without an id or title."""
    title, resolution, *messages = _hidden(
        [ended.title, _resolution(ended.said), *_first_lines(ended.messages)], redact
    )
    return Passage(
        kind="incident",
        id=ended.id,
        title=title,
        text=described(ended.types, messages),
        resolution=resolution,
        ship=(ended.ship,),
        domain=(ended.domain,),
        category=(ended.category,),
        order=ended.updated.timestamp(),
    )


def described(types: Iterable[str], messages: Iterable[str]) -> str:
    """An incident below its title: what kinds of anomalies it has, what devices said.

    *messages* have nothing personal any more.
    """
    kinds = [kind.replace("_", " ") for kind in dict.fromkeys(types)][:KINDS_SAID]
    said = [gist(message) or message for message in dict.fromkeys(messages)]
    lines = [", ".join(kinds), *dict.fromkeys(said[:KINDS_SAID])]
    return "\n".join(line for line in lines if line)


def words_of(question: Question, redact: Redact) -> str:
    """What is searched for, nothing personal in it: the root of the incident first, then the other
    kinds, worst first."""
    incident, kinds = question.incident, question.kinds
    root = incident.root_cause.anomaly if incident.root_cause else None
    members = [kind.newest for kind in kinds] or list(incident.evidence)
    ordered = sorted(members, key=lambda one: (one.anomaly_id != root, -one.severity.rank, one.ts))
    types = [one.anomaly_type for one in ordered]
    lines = _first_lines(one.msg for one in ordered)
    title, *messages = _hidden([incident.title, *lines], redact)
    return f"{title}\n{described(types, messages)}".strip()


def _first_lines(messages: Iterable[str]) -> list[str]:
    """What `gist` reads of each message."""
    return [message.strip().partition("\n")[0] for message in dict.fromkeys(messages)][:READ_MOST]


def _hidden(texts: Iterable[str], redact: Redact) -> list[str]:
    """*texts* as lines without what is personal in any of them.

    All at once, and before they are shortened: a title and a gist lack the marks, such as
    ``user=``, by which the message that they were made of shows what is personal.
    """
    return redact("\n".join(" ".join(text.split()) for text in texts)).split("\n")


def scope_of(incident: Incident) -> Scope:
    return Scope(incident.ship_id, Domain(incident.domain).value, incident.category)


def _resolution(said: Sequence[str]) -> str:
    """The newest of what was said, without mere words for the end."""
    telling = [text.strip() for text in dict.fromkeys(said) if text.strip().lower() not in BARE]
    return "; ".join(telling)[-RESOLUTION_MOST:]
