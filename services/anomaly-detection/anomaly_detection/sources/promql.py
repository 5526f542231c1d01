"""PromQL as far as one can judge it without a server, and what becomes of its answers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aiops_core.models import MetricSample, derived_id

_PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
_PORT = re.compile(r":\d{1,5}$")
_NAME = "__name__"


class Answer(Protocol):
    """One series of an answer and its value."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def value(self) -> float: ...


class Asked(Protocol):
    """What a poll says of its samples."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def most(self) -> int: ...


def mistake(query: str) -> str | None:
    """What is wrong with *query*, as far as brackets and quotes tell; only a server knows the rest."""
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
    """The characters of *query* outside of strings and comments; a string counts as its first quote."""
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


def slot(now: datetime, every: timedelta) -> datetime:
    """The newest time of a poll: multiples of *every* on the clock, the same after a restart."""
    period = every.total_seconds()
    return datetime.fromtimestamp(math.floor(now.timestamp() / period) * period, UTC)


def samples(
    asked: Asked, answers: Sequence[Answer], ship_id: str, at: datetime, now: datetime
) -> list[MetricSample]:
    """The readings in *answers* to what was asked for the time *at*; *now* it arrived.

    Their ids derive from poll, labels and time, so that asking twice is no second reading. Values that
    are no number (0/0) are left out, and what is beyond the poll's *most* too.
    """
    finite = [answer for answer in answers if math.isfinite(answer.value)]
    return [_sample(asked, answer, ship_id, at, now) for answer in finite[: asked.most]]


def _sample(
    asked: Asked, answer: Answer, ship_id: str, at: datetime, now: datetime
) -> MetricSample:
    labels = {key: value for key, value in answer.labels.items() if key != _NAME}
    id_ = derived_id(
        *("promql", ship_id, asked.name, at.isoformat()),
        *(f"{key}={value}" for key, value in sorted(labels.items())),
    )
    device = _PORT.sub("", labels.pop(asked.device, ""))
    service = labels.pop(asked.service, "")
    if labels.get("ship_id") == ship_id:
        del labels["ship_id"]
    return MetricSample(
        tracking_id=id_,
        ship_id=ship_id,
        ts=at,
        stages={"ingest": now},
        host=device or ship_id,  # a value of no device is about the ship
        device_id=device or None,
        service=service or "unknown",
        metric=asked.name,
        value=answer.value,
        unit=asked.unit or None,
        labels=labels,
    )
