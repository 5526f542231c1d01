"""``polls`` of detect.yaml, and the mistakes in PromQL that are found without a server. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from aiops_core.models import Domain, Text
from aiops_core.policy.file import Section
from anomaly_detection.rules import DetectorName, Positive

_PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"


def mistake(query: str) -> str | None:
    """The first mistake in brackets and quotes of *query*; only a server finds the others."""
    open_: list[tuple[str, int]] = []
    try:
        for place, char in _code(query):
            if char in _PAIRS.values():
                open_.append((char, place))
            elif char in _PAIRS and (not open_ or open_.pop()[0] != _PAIRS[char]):
                return f"'{char}' at character {place + 1} closes nothing"
    except ValueError as exc:
        return str(exc)
    if open_:
        return f"'{open_[-1][0]}' at character {open_[-1][1] + 1} is never closed"
    return None if any(not char.isspace() for _, char in _code(query)) else "it is empty"


def _code(query: str) -> Iterator[tuple[int, str]]:
    """Place and character outside of strings and comments; a string counts as its first quote."""
    place = 0
    while place < len(query):
        char = query[place]
        if char == "#":
            place = (query.find("\n", place) + 1) or len(query)
            continue
        yield place, char
        place = _end_of_string(query, place) if char in _QUOTES else place + 1


def _end_of_string(query: str, start: int) -> int:
    quote, place = query[start], start + 1
    while place < len(query):
        if query[place] == "\\" and quote != "`":
            place += 2
        elif query[place] == quote:
            return place + 1
        else:
            place += 1
    raise ValueError(f"the string at character {start + 1} has no end")


def _promql(query: str) -> str:
    if found := mistake(query):
        raise ValueError(f"wrong PromQL: {found}")
    return query


class Poll(Section):
    """A PromQL query, evaluated every *interval*; its series are readings of the metric *name*.

    *service* and *device_id* are the labels that name the sender; without a device the reading is
    about the ship. Samples older than *freshness* are ignored, and so are series beyond *most*.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
    query: Annotated[Text, AfterValidator(_promql)]
    interval: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))]
    freshness: Positive = timedelta(minutes=1)
    domain: Domain | None = None
    detectors: tuple[DetectorName, ...] = ()
    service: Text = "job"
    device_id: Text = "instance"
    unit: str = ""
    most: int = Field(500, ge=1, le=10_000)
