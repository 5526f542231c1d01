"""How severities, states, ages and latencies look on a terminal: the same in every command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
STATUS_STYLE = {"open": "bold", "ack": "blue", "resolved": "green", "suppressed": "dim"}


WIDTH_OF_FILES = 140  # columns, where no terminal says how wide it is


def console() -> Console:
    """A fresh one each time, so that it writes to the standard output of this moment."""
    screen = Console(highlight=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = WIDTH_OF_FILES
    return screen


def coloured(value: str, styles: Mapping[str, str]) -> Text:
    return Text(value, style=styles.get(value, ""))


def age(then: str | datetime, now: datetime | None = None) -> str:
    """How long ago *then* was: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    moment = datetime.fromisoformat(then) if isinstance(then, str) else then
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def dig(value: Any, *keys: str) -> Any:
    """A value deep in an answer, or None where a key is missing on the way."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
