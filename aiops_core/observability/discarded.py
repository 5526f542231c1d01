"""Messages that a stream discarded unread: counted, logged and shown in ``/ready``."""

from __future__ import annotations

import time
from dataclasses import dataclass

import aiops_core
from aiops_core.observability import metrics
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(
    name="discarded", service="aiops_core", version=aiops_core.__version__
)

LOG_EVERY = 60.0  # seconds between two lines about one consumer


@dataclass
class Discarded:
    """The loss of one consumer of this process."""

    count: int = 0
    logged: float | None = None  # on the monotonic clock


DISCARDED: dict[tuple[str, str], Discarded] = {}  # by stream and consumer


def count(stream: str, consumer: str, messages: int) -> None:
    """*consumer* has lost *messages* of *stream*. 0 makes the counter known."""
    metrics.DISCARDED.labels(stream, consumer).inc(messages)
    if not messages:
        return
    lost = DISCARDED.setdefault((stream, consumer), Discarded())
    lost.count += messages
    now = time.monotonic()
    if lost.logged is None or now - lost.logged >= LOG_EVERY:
        lost.logged = now
        log.error("unread messages discarded", stream=stream, consumer=consumer, count=lost.count)
