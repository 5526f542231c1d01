"""Stored entries that cannot be read back: skipped, counted and logged by name.

Streams, buckets, tables and snapshots outlive the code that wrote them, and anybody who reaches the
broker can write there. So each entry is input when it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from aiops_core.bounded import BoundedDict
from aiops_core.errors import in_words
from aiops_core.models import BY_SUBJECT, Message
from aiops_core.observability import metrics
from aiops_core.runtime.bus import LARGEST, Stored
from aiops_core.utils import core_logger

E = TypeVar("E")
T = TypeVar("T")
log = core_logger("unreadable")

REASON_KEPT, ENTRY_KEPT = 300, 200  # characters
KNOWN = 1000  # entries of one place; reading one of them again counts and says nothing more
LOGGED = 10  # entries of one place that are logged each; then only when their number doubles


@dataclass
class Skipped:
    """The entries of one place that this process has skipped."""

    count: int = 0
    newest: str = ""
    known: BoundedDict[str, None] = field(default_factory=lambda: BoundedDict(KNOWN))


SKIPPED: dict[str, Skipped] = {}  # by place; what /ready tells of it


def skip(where: str, entry: str, problem: object) -> None:
    """Count and log *entry* (a sequence, a key, an id) of *where* (``service.reader``)."""
    entry = entry[:ENTRY_KEPT]
    reason = in_words(problem)[:REASON_KEPT]
    skipped = SKIPPED.setdefault(where, Skipped())
    skipped.newest = f"{entry}: {reason}"
    if skipped.newest in skipped.known:
        return  # a bucket is read at every change, a table at every request
    skipped.known.put(skipped.newest, None)
    skipped.count += 1
    metrics.UNREADABLE.labels(where).inc()
    if skipped.count <= LOGGED or skipped.count.bit_count() == 1:
        log.warning("skipped", where=where, entry=entry, reason=reason, count=skipped.count)


def read_all(
    entries: Iterable[E], where: str, read: Callable[[E], T], name: Callable[[E], object]
) -> list[T]:
    """The results of *read*. An entry for which it raises ValueError is skipped by its *name*."""
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except ValueError as exc:  # ValidationError is one
            skip(where, str(name(entry)), exc)
    return found


def only_text(row: Iterable[object]) -> None:
    """Raises UnicodeError if a column of *row*, or a part of one, is bytes: no UTF-8, as the driver
    gives it."""
    columns = list(row)
    if broken := [column for column in columns if isinstance(column, bytes)]:
        raise UnicodeError(f"{broken[0][:40]!r} is no UTF-8")
    for column in columns:
        if isinstance(column, list | tuple):
            only_text(column)


def read_stored(
    stored: Stored, where: str, kinds: Mapping[str, type[Message]] = BY_SUBJECT
) -> Message | None:
    """The message in *stored*; None when it cannot be read and was skipped for *where*."""
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
