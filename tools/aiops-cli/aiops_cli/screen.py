"""Severities, states, ages and latencies on a terminal, the same in every command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
STATUS_STYLE = {"open": "bold", "ack": "blue", "resolved": "green", "suppressed": "dim"}

AGES = timedelta(days=30)  # within which people count days; longer ago has a date
DEFAULT_WIDTH = 140  # columns, when the output is not a terminal


def console() -> Console:
    """A console on the current standard output, which tests replace."""
    screen = Console(highlight=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = DEFAULT_WIDTH
    return screen


def coloured(value: str, styles: Mapping[str, str]) -> Text:
    return Text(value, style=styles.get(value, ""))


def age(then: str | datetime, now: datetime | None = None) -> str:
    """How long ago *then* was: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    moment = datetime.fromisoformat(then) if isinstance(then, str) else then
    return span(((now or datetime.now(UTC)) - moment).total_seconds())


def span(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``2 d``; nothing below zero."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def when(then: str, now: datetime | None = None) -> str:
    """``12 min ago``, or the minute in UTC when *then* is of an older log: ``2005-06-03 04:01``."""
    moment = datetime.fromisoformat(then)
    if (now or datetime.now(UTC)) - moment > AGES:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f"{age(moment, now)} ago"


def minute(text: str) -> str:
    """A time as the watch reads it, in UTC."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def dig(value: Any, *keys: str) -> Any:
    """The nested value at *keys*, or None where a key is missing."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
