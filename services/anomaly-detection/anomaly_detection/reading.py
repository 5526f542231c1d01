"""What is judged of an entry that came in.

1. An entry with ``raw`` is read by the normaliser, with what is remembered of its sender; the rest
   of it, read without a memory, is for releases that know no ``raw`` (decision 25).
2. A device has one name: the spelling in which it was first seen (decision 27).

Both memories are in the snapshots: after a kill the same lines are the same entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from aiops_core.inventory.names import DeviceNames
from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.entries import FROM_NETWORK, SENDER, fields_of
from aiops_core.normaliser.normaliser import normalise
from anomaly_detection.detectors.base import SENDERS, bounded_key, device_of
from anomaly_detection.remembered import Remembered

AnyEntry = LogEntry | MetricSample
OnFailure = Callable[[str, Exception], None]  # gets the name of the part, and what it raised


class EntryReader:
    """*kept*: senders and devices that are remembered. *own_domains* see ``DeviceNames``."""

    def __init__(self, kept: int, own_domains: Sequence[str], on_failure: OnFailure) -> None:
        self._senders = Remembered("senders", kept, SenderContext)
        self._names = Remembered("names", kept, str)
        self._one_name = lru_cache(SENDERS)(DeviceNames(own_domains).one)
        self._on_failure = on_failure
        self.memories: Sequence[Remembered] = (self._senders, self._names)

    def read(self, entry: AnyEntry) -> AnyEntry:
        """*entry* as it is judged. ``stages.ingest`` is its arrival."""
        if isinstance(entry, LogEntry) and entry.raw is not None:
            entry = self._normalised(entry, entry.raw)
        return self._named(entry)

    def name_of(self, ship_id: str, name: str) -> str | None:
        """The name of a device that sends lines; *name* is any of its spellings."""
        known: str | None = self._names.state.peek((ship_id, self._one_name(name)))
        return known

    def _normalised(self, entry: LogEntry, raw: str) -> LogEntry:
        sender = entry.labels.get(SENDER) or entry.host
        key = bounded_key(entry.ship_id, sender)
        context = self._senders.state.get(key, SenderContext)
        arrived = entry.stages.get("ingest", entry.ts)
        try:
            line = normalise(raw, arrived, context)
        except Exception as exc:  # noqa: BLE001 - a bug; what the way in has read stands
            self._on_failure("normaliser", exc)
            return entry.but(raw=None)
        fields = fields_of(line, arrived, host=sender, service=FROM_NETWORK, source=entry.source)
        fields["labels"] |= {SENDER: sender}
        return entry.but(raw=None, **fields)

    def _named(self, entry: AnyEntry) -> AnyEntry:
        device = device_of(entry)
        key = (entry.ship_id, self._one_name(device))
        name = self._names.state.get(key, lambda: device)
        return entry if name == device else entry.but(device_id=name)
