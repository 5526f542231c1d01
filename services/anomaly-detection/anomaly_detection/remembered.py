"""State by key that is no detector's, for the snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from anomaly_detection.detectors.state import SegmentedLru, State


class Remembered:
    """State per key under a name of its own in the snapshots."""

    def __init__(self, name: str, most: int, kind: Any) -> None:
        self.name = name
        self.state: SegmentedLru[Any] = SegmentedLru(most, kind)

    def parts(self) -> Iterator[State]:
        """The state at this call, least recently used first."""
        return self.state.parts()

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """Add a snapshot. Raises ValueError for something else."""
        self.state.restore(state)
