"""An insert fed by a client's blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .embedded import Chunk, Insert
from .faults import Fault
from .layout import Sink


class Feed:
    """An insert that begins with the first row, and after an error swallows what still comes."""

    def __init__(self, begin: Callable[[], Insert]) -> None:
        self._begin = begin
        self._insert: Insert | None = None
        self._failed: Fault | None = None

    def open(self) -> Sink:
        """Where the next block goes."""
        if self._insert is None and self._failed is None:
            self._attempt(self._start)
        return self._append

    def finish(self) -> Chunk:
        """Commit. Raises the Fault that came on the way."""
        if self._failed:
            raise self._failed
        return self._insert.finish() if self._insert else Chunk(b"", 0, 0, 0)

    def close(self) -> None:
        """Give up what is not finished."""
        if self._insert:
            self._insert.close()

    def _start(self) -> None:
        self._insert = self._begin()

    def _append(self, piece: bytes, /) -> None:
        if self._insert and not self._failed:
            self._attempt(partial(self._insert.append, piece))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Fault as failed:
            self._failed = failed
