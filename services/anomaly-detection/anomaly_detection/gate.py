"""A detector behind the layers of detect.yaml: it is only asked about senders that it shall judge. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from functools import lru_cache
from typing import Generic, TypeVar

from pydantic import JsonValue

from aiops_core.models import LogEntry, MetricSample
from anomaly_detection.detectors.base import (
    Detector,
    Finding,
    Imaged,
    Snapshot,
    device_of,
)
from anomaly_detection.layers import SENDERS, Layers, Sender
from anomaly_detection.policy_layers import DetectorName
from anomaly_detection.snapshots import pieces

Entry = TypeVar("Entry", LogEntry, MetricSample)


class Gated(Generic[Entry]):
    """The contract of ``detectors.base.Detector``, around *detector*.

    What a sender that is switched off says is not learned either: switched on, it starts anew.
    """

    def __init__(self, detector: Detector[Entry], layers: Layers) -> None:
        self.name = detector.name
        self.inner: Detector[Entry] = detector
        self._layers = layers
        self.lets = lru_cache(SENDERS)(self._enabled)

    def observe(self, entry: Entry, /) -> Sequence[Finding]:
        metric = entry.metric if isinstance(entry, MetricSample) else ""
        if not self.lets(entry.ship_id, entry.service, device_of(entry), metric):
            return ()
        return self.inner.observe(entry)

    def elapse(self, now: datetime, /) -> Sequence[Finding]:
        """What the detector says; whether it may, ``lets_tell`` says."""
        return self.inner.elapse(now)

    def snapshot(self) -> Snapshot:
        return self.inner.snapshot()

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.inner.restore(state)

    def image(self) -> Iterator[Snapshot]:
        """The snapshot of the moment of this call, in pieces that may be taken later."""
        if isinstance(self.inner, Imaged):
            return self.inner.image()
        return pieces(self.inner.snapshot())

    def restore_whole(self, state: Mapping[str, JsonValue]) -> None:
        """All of *state* or nothing of it; raises ValueError, LookupError or TypeError."""
        deepcopy(self.inner).restore(state)
        self.inner.restore(state)

    def lets_tell(self, finding: Finding) -> bool:
        about = finding.origin
        return self.lets(about.ship_id, about.service, about.device, finding.metric or "")

    def _enabled(self, ship_id: str, service: str, device: str, metric: str) -> bool:
        sender = Sender(ship_id, service, device, metric)
        return self._layers.tuning(DetectorName(self.name), sender).enabled
