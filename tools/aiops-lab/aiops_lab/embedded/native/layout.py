"""Where a column of a given type ends. The protocol does not say how long a block is; only its
types tell.

A layout passes the bytes of a column on without looking into the values. `prefix` is the number of
bytes that the
dictionaries inside announce themselves with, all of them before the first value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

from .wire import Incoming

_WIDTHS = {
    **{f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)},
    "Float32": 4,
    "Float64": 8,
    "BFloat16": 2,
    "Bool": 1,
    "Nothing": 1,
    "UUID": 16,
    "IPv4": 4,
    "IPv6": 16,
    "Date": 2,
    "Date32": 4,
    "DateTime": 4,
    "DateTime64": 8,
    "Time": 4,
    "Time64": 8,
    "Enum8": 1,
    "Enum16": 2,
    "Decimal32": 4,
    "Decimal64": 8,
    "Decimal128": 16,
    "Decimal256": 32,
}
_GEO = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|.", re.DOTALL)
_NAMED = re.compile(r"(?:`(?:[^`\\]|\\.)*`|\w+)\s+(?=\w)(.+)", re.DOTALL)


class UnknownLayout(Exception):
    """A type whose bytes this server cannot measure (JSON, Dynamic, Variant, AggregateFunction)."""


class Sink(Protocol):
    """Takes the bytes that were passed over."""

    def __call__(self, piece: bytes, /) -> None: ...


class Layout(Protocol):
    """The shape of a column."""

    @property
    def prefix(self) -> int:
        """Bytes before the first value."""

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        """Pass the values of `rows` rows from `source` to `sink`."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Values of one width in bytes."""

    width: int
    prefix: int = 0

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        for piece in source.pieces(self.width * rows):
            sink(piece)


@dataclass(frozen=True, slots=True)
class Text:
    """Strings, each with its length."""

    prefix: int = 0

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        for piece in source.strings(rows):
            sink(piece)


@dataclass(frozen=True, slots=True)
class Row:
    """Several columns after each other: tuples, and a nullable's marks with its values."""

    parts: tuple[Layout, ...]

    @property
    def prefix(self) -> int:
        return sum(part.prefix for part in self.parts)

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        for part in self.parts:
            part.copy(source, rows, sink)


@dataclass(frozen=True, slots=True)
class Many:
    """Arrays and maps: where each row ends, then all items."""

    item: Layout

    @property
    def prefix(self) -> int:
        return self.item.prefix

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        last = b""
        for last in source.pieces(8 * rows):
            sink(last)
        self.item.copy(source, int.from_bytes(last[-8:], "little"), sink)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """LowCardinality: the distinct values, then an index for each row."""

    item: Layout
    prefix: int = 8

    def copy(self, source: Incoming, rows: int, sink: Sink) -> None:
        if not rows:
            return
        head = source.take(16)
        sink(head)
        self.item.copy(source, int.from_bytes(head[8:], "little"), sink)
        for piece in source.pieces(8 + (1 << (head[0] & 0xF)) * rows):
            sink(piece)


@lru_cache(maxsize=4096)
def layout_of(spec: str) -> Layout:
    """The layout of a ClickHouse type. Raises UnknownLayout."""
    name, _, rest = spec.strip().partition("(")
    if name in _COMPOSED and rest:
        return _COMPOSED[name](tuple(arguments(rest.rstrip()[:-1])))
    if name in _GEO:
        return layout_of(_GEO[name])
    if name.startswith("Interval"):
        return Fixed(8)
    if name in _WIDTHS:
        return Fixed(_WIDTHS[name])
    if name == "String":
        return Text()
    raise UnknownLayout(spec)


def arguments(inside: str) -> Iterator[str]:
    """The comma-separated parts between a type's parentheses, minding quotes and nesting."""
    tokens = _TOKEN.findall(inside)
    depths = accumulate((token == "(") - (token == ")") for token in tokens)
    part = ""
    for token, depth in zip(tokens, depths, strict=True):
        if token == "," and not depth:
            yield part.strip()
            part = ""
        else:
            part += token
    if part.strip():
        yield part.strip()


def _unnamed(part: str) -> Layout:
    match = _NAMED.fullmatch(part)
    return layout_of(match.group(1) if match else part)


def _row(parts: tuple[str, ...]) -> Layout:
    return Row(tuple(map(_unnamed, parts)))


def _decimal(parts: tuple[str, ...]) -> Layout:
    digits = int(parts[0])
    return Fixed(
        next(width for limit, width in ((9, 4), (18, 8), (38, 16), (76, 32)) if digits <= limit)
    )


def _dictionary(parts: tuple[str, ...]) -> Layout:
    inner = parts[0]
    return Dictionary(
        layout_of(inner[len("Nullable(") : -1] if inner.startswith("Nullable(") else inner)
    )


_COMPOSED: dict[str, Callable[[tuple[str, ...]], Layout]] = {
    "FixedString": lambda parts: Fixed(int(parts[0])),
    "Decimal": _decimal,
    "Nullable": lambda parts: Row((Fixed(1), layout_of(parts[0]))),
    "Array": lambda parts: Many(layout_of(parts[0])),
    "Map": lambda parts: Many(_row(parts)),
    "Nested": lambda parts: Many(_row(parts)),
    "Tuple": _row,
    "LowCardinality": _dictionary,
    "SimpleAggregateFunction": lambda parts: layout_of(parts[-1]),
}
