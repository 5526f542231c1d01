"""Formats within the message of a line: what a transport (syslog, Docker, a relay) carries. Pure.

A reader gets a line and its arrival, and returns the line that was meant, or None when the message
does not have its format. Readers are tried in order, again on the result, up to DEPTH times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiops_core.normaliser import app_payloads
from aiops_core.normaliser.parsed import ParsedLine

DEPTH = 3  # a relay's header, a device's header, its message

PayloadReader = Callable[[ParsedLine, datetime], ParsedLine | None]

PAYLOADS: tuple[PayloadReader, ...] = (app_payloads.read,)


def unwrapped(line: ParsedLine, now: datetime) -> ParsedLine:
    """*line* with the fields that its message states."""
    for _ in range(DEPTH):
        inner = next((found for reader in PAYLOADS if (found := reader(line, now))), None)
        if inner is None:
            return line
        line = inner
    return line
