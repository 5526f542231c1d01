"""What was stored and cannot be read back: it is skipped, counted and named, and the rest goes on.

Streams, buckets, tables and snapshots outlive the code that wrote them, and anybody who reaches the broker
can write there. So whoever reads them again treats each entry as input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiops_core
from aiops_core import metrics
from aiops_core.bus import LARGEST, Stored
from aiops_core.models import BY_SUBJECT, Message
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(
    name="unreadable", service="aiops_core", version=aiops_core.__version__
)

REASON_KEPT = 300  # characters
LOGGED = 10  # entries of one place that are logged each; then only when their number doubles


@dataclass
class Skipped:
    """How many entries of one place were skipped in this process, and the newest of them."""

    count: int = 0
    newest: str = ""


SKIPPED: dict[str, Skipped] = {}  # by place; what /ready tells of it


def skip(where: str, entry: str, problem: object) -> None:
    """Count and name *entry* (a sequence, a key, an id) of *where* (``service.reader``, constant text)."""
    reason = " ".join(str(problem).split())[:REASON_KEPT]
    skipped = SKIPPED.setdefault(where, Skipped())
    skipped.count += 1
    skipped.newest = f"{entry}: {reason}"
    metrics.UNREADABLE.labels(where).inc()
    if skipped.count <= LOGGED or skipped.count.bit_count() == 1:
        log.warning("skipped", where=where, entry=entry, reason=reason, count=skipped.count)


def read_stored(
    stored: Stored, where: str, kinds: Mapping[str, type[Message]] = BY_SUBJECT
) -> Message | None:
    """The message that *stored* holds, None when it cannot be read: then it has been skipped for *where*."""
    entry = f"{stored.subject} {stored.sequence}"
    try:
        if len(stored.data) > LARGEST:
            raise ValueError(f"{len(stored.data)} bytes, the limit is {LARGEST}")
        return kinds[stored.subject].model_validate_json(stored.data)
    except KeyError:
        skip(where, entry, "unknown subject")
    except ValueError as exc:  # ValidationError is one
        skip(where, entry, exc)
    return None
