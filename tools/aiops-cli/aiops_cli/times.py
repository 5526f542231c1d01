"""Times and spans on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from aiops_core.errors import Misconfigured
from aiops_core.utils import span_of


def moment(text: str, option: str) -> datetime:
    """The time in *text*, UTC when it names no zone."""
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(f"{option} {text}: not a time like 2026-06-01T12:00") from None
    return stated if stated.tzinfo else stated.replace(tzinfo=UTC)


def since_of(text: str, now: datetime | None = None) -> datetime:
    """The time in *text*, or so long before *now* as the span in it says (``2h``, ``7d``)."""
    span = span_of(text)
    return (now or datetime.now(UTC)) - span if span else moment(text, "--since")


def end_of(
    command: str,
    ends_at: str | None,
    lasting: str | None,
    starts_at: datetime | None = None,
    option: str = "--ends-at",
) -> datetime:
    """The end: *ends_at*, the value of *option*, or *lasting* (``--for``) after the start.

    The start is by default now.
    """
    if (ends_at is None) == (lasting is None):
        raise Misconfigured(f"{command}: say when it ends, with either {option} TIME or --for SPAN")
    if ends_at is not None:
        return moment(ends_at, option)
    span = span_of(lasting or "")
    if span is None:
        raise Misconfigured(f"--for {lasting}: not a span like 45m, 2h or 3d")
    return (starts_at or datetime.now(UTC)) + span
