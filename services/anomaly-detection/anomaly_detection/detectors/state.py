"""Bounded state per key, with consistent snapshots while entries go on, and late entries."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, TypeAdapter

PART = 64  # items that are written in one go, about 1 ms
SURE = 20.0  # seconds of late entries in order that prove a clock was set back

V = TypeVar("V")
Key = tuple[str, ...]
State = dict[str, JsonValue]  # by key, so that it can be cut into parts


class SegmentedLru(Generic[V]):
    """State for at most *most* keys: an LRU of two segments.

    A key is on probation until its second use. Eviction takes the oldest key on probation while
    these are more than a quarter: senders with ever new names evict each other, not known keys.

    A snapshot is copied on write: a key that changes before its part is taken is written first.
    *kind* is the type of the state, for pydantic.
    """

    def __init__(self, most: int, kind: Any) -> None:
        self._most = most
        self._adapter: TypeAdapter[V] = TypeAdapter(kind)
        self._protected: OrderedDict[Key, V] = OrderedDict()
        self._probation: OrderedDict[Key, V] = OrderedDict()
        self._pending: dict[Key, None] = {}  # keys that are still to be written
        self._preserved: State = {}

    def __len__(self) -> int:
        return len(self._protected) + len(self._probation)

    def get(self, key: Key, make: Callable[[], V]) -> V:
        """The state of *key*, which the caller may change."""
        if self._pending:
            self._preserve(key)
        value = self._protected.get(key)
        if value is not None:
            self._protected.move_to_end(key)
            return value
        if key in self._probation:
            value = self._protected[key] = self._probation.pop(key)
            return value
        value = make()
        self._make_room()
        self._probation[key] = value
        return value

    def find(self, key: Key) -> V | None:
        """The state of *key*, which the caller may change; None if there is none."""
        if key not in self._protected and key not in self._probation:
            return None
        return self.get(key, _never)

    def peek(self, key: Key) -> V | None:
        """The state of *key*, which the caller must not change; that is no use of it."""
        value = self._protected.get(key)
        return self._probation.get(key) if value is None else value

    def put(self, key: Key, value: V) -> None:
        """Replace the state of *key*, or add it to the protected segment."""
        self.put_all([(key, value)])

    def put_all(self, items: Iterable[tuple[Key, V]]) -> None:
        """All or nothing: no call in between can raise."""
        items = list(items)
        if self._pending:
            self._preserve(*(key for key, _ in items))
        for key, value in items:
            if key in self._probation:
                self._probation[key] = value
                continue
            if key not in self._protected:
                self._make_room()
            self._protected[key] = value

    def items(self) -> Sequence[tuple[Key, V]]:
        """Least recently used first; the caller may change the values."""
        every = [*self._probation.items(), *self._protected.items()]
        self._preserve(*(key for key, _ in every))
        return every

    def parts(self) -> Iterator[State]:
        """A snapshot of this moment in parts, least recently used first; it ends the one before."""
        keys = [*self._probation, *self._protected]
        self._pending, self._preserved = dict.fromkeys(reversed(keys)), {}
        return self._parts(self._pending, self._preserved)

    def _parts(self, pending: dict[Key, None], preserved: State) -> Iterator[State]:
        while pending:
            keys = [pending.popitem()[0] for _ in range(min(PART, len(pending)))]
            yield {k: v for key in keys for k, v in self._dump(key).items()}
        if preserved is self._preserved:
            self._preserved = {}
        yield preserved

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for key, value in state.items():
            self.put(tuple(json.loads(key)), self._adapter.validate_python(value))

    def _dump(self, key: Key) -> State:
        value = self._protected[key] if key in self._protected else self._probation[key]
        return {json.dumps(key): self._adapter.dump_python(value, mode="json")}

    def _make_room(self) -> None:
        if len(self) < self._most:
            return
        probation = len(self._probation) > self._most // 4 or not self._protected
        segment = self._probation if probation else self._protected
        oldest = next(iter(segment))
        self._preserve(oldest)
        del segment[oldest]

    def _preserve(self, *keys: Key) -> None:
        """Call it before a change of *keys*."""
        for key in keys:
            if key in self._pending:
                self._preserved |= self._dump(key)
                del self._pending[key]


def _never() -> Any:
    raise AssertionError("the key is there")


@dataclass(slots=True)
class Late:
    """A run of late entries, in seconds since 1970; 0 means none.

    Late entries come alone or out of order, between others. After a step of its clock a sender goes
    on in order, with nothing newer in between.
    """

    first: float = 0.0
    last: float = 0.0

    def proves(self, at: float) -> bool:
        """Add a late entry; True if the run proves that the clock was set back."""
        if not self.first or at < self.last:
            self.first = at
        self.last = at
        if at - self.first < SURE:
            return False
        self.over()
        return True

    def over(self) -> None:
        """End the run: an entry that is not late has come."""
        self.first = self.last = 0.0
