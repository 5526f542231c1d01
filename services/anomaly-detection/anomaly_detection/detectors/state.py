"""Bounded state per key, and consistent snapshots of it while entries go on changing it."""

from __future__ import annotations

import json
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import JsonValue, TypeAdapter

PART = 64  # items that are written in one go, about 1 ms

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Key = tuple[str, ...]
State = dict[str, JsonValue]  # by key, so that it can be cut into parts


class CopyOnWrite(Generic[K, V]):
    """A snapshot of *items* in parts. Until ``done``, call ``preserve`` before a change."""

    def __init__(self, items: Mapping[K, V], dump: Callable[[K, V], State]) -> None:
        self._items, self._dump = items, dump
        self._pending = dict.fromkeys(reversed(list(items)))  # popitem() takes the first of items
        self._preserved: State = {}

    @property
    def done(self) -> bool:
        return not self._pending

    def preserve(self, key: K) -> None:
        if key in self._pending:
            self._preserved |= self._dump(key, self._items[key])
            del self._pending[key]

    def parts(self) -> Iterator[State]:
        while self._pending:
            keys = (self._pending.popitem()[0] for _ in range(min(PART, len(self._pending))))
            yield {k: v for key in keys for k, v in self._dump(key, self._items[key]).items()}
        yield self._preserved


class SegmentedLru(Generic[V]):
    """State for at most *most* keys: an LRU of two segments.

    A key is on probation until its second use. Eviction takes the oldest key on probation while
    these are more than a quarter: senders with ever new names evict each other, not known keys.
    """

    def __init__(self, most: int, adapter: TypeAdapter[V]) -> None:
        self._most, self._adapter = most, adapter
        self._protected: OrderedDict[Key, V] = OrderedDict()
        self._probation: OrderedDict[Key, V] = OrderedDict()
        self._snapshot: CopyOnWrite[Key, V] | None = None

    def __len__(self) -> int:
        return len(self._protected) + len(self._probation)

    def get(self, key: Key, make: Callable[[], V]) -> V:
        """The state of *key*, which the caller may change."""
        if self._snapshot is not None:
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

    def put(self, key: Key, value: V) -> None:
        """Replace the state of *key*, or add it to the protected segment."""
        self.put_all([(key, value)])

    def put_all(self, items: Iterable[tuple[Key, V]]) -> None:
        """All or nothing: no call in between can raise."""
        items = list(items)
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
        """A snapshot of this moment in parts, least recently used first."""
        self._snapshot = CopyOnWrite(ChainMap(self._protected, self._probation), self._dump)
        return self._snapshot.parts()

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for key, value in state.items():
            self.put(tuple(json.loads(key)), self._adapter.validate_python(value))

    def _dump(self, key: Key, value: V) -> State:
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
        if self._snapshot is not None and self._snapshot.done:
            self._snapshot = None
        if self._snapshot is not None:
            for key in keys:
                self._snapshot.preserve(key)


SURE = 20.0  # seconds of late entries in order that prove a clock was set back


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
