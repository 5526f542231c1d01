"""Small vocabulary that every service shares: structured logs, ids, fingerprints, keys."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict

from aiops_core import __version__
from aiops_core.fingerprints import (
    compute_correlation_keys,
    compute_fingerprint,
    compute_suppress_key,
    extract_error_message,
)
from aiops_core.models import Message

__all__ = [
    "IN_HAND",
    "StructuredLogger",
    "compute_correlation_keys",
    "compute_fingerprint",
    "compute_suppress_key",
    "core_logger",
    "extract_error_message",
    "generate_tracking_id",
    "span_of",
]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
SPAN = re.compile(r"([1-9]\d{0,5})(s|m|min|h|d)")
UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


# Without local variables: their values include users' names and passwords out of log lines.
_TRACEBACKS = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

IN_HAND: ContextVar[Message | None] = ContextVar("message in hand", default=None)


def _of_this_message(_: Any, __: str, event: EventDict) -> EventDict:
    """What is said while a message is being handled is said about it."""
    if message := IN_HAND.get():
        event = {"tracking_id": message.tracking_id, "ship_id": message.ship_id, **event}
    return event


def _of_this_process(_: Any, __: str, event: EventDict) -> EventDict:
    """What the core says inside a service is said by that service."""
    event["service"] = get_contextvars().get("service") or event.get("service")
    return event


class StructuredLogger:
    """JSON lines on stderr, one object an event, with the tracking id of the message in hand."""

    @staticmethod
    def configure(level: str = "info") -> None:
        """Set the process up once; *level* is one of debug, info, warning, error."""
        structlog.configure(
            processors=[
                merge_contextvars,
                _of_this_message,
                _of_this_process,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _TRACEBACKS,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # the stderr of the moment
            cache_logger_on_first_use=False,
        )

    @staticmethod
    def get_logger(*, name: str, service: str, version: str) -> structlog.stdlib.BoundLogger:
        """A logger whose every line says which module of which service in which version speaks."""
        # No bind() here: it would freeze the configuration at the import of a module.
        logger: Any = structlog.get_logger(module=name, service=service, version=version)
        return cast(structlog.stdlib.BoundLogger, logger)


def core_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module of the core, which speaks for the service that it runs in."""
    return StructuredLogger.get_logger(name=name, service="aiops_core", version=__version__)


def generate_tracking_id() -> str:
    """A fresh UUIDv4; only where a cause enters the platform, everything later derives its ids."""
    return str(uuid4())


def span_of(text: str) -> timedelta | None:
    """The span of time that people write as ``15m``, ``24h`` or ``7d``; None for other texts."""
    found = SPAN.fullmatch(text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
