"""The ends of columns and blocks: the protocol does not tell a block's length, only its types do.

The types of our tables and queries are known; any other is refused by name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .wire import UNKNOWN_TYPE, EngineError, Incoming, ProtocolError, text, varint

_WIDTHS = {
    **{f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": 4,
    "Float64": 8,
    "Bool": 1,
    "Date": 2,
    "DateTime64": 8,
}
"""Bytes of a value. Not ``DateTime``: in its ``Native`` format the engine drops the timezone."""
_DICTIONARY = "LowCardinality"


@dataclass(frozen=True, slots=True)
class Column:
    """Name and ClickHouse type."""

    name: str
    type: str


def header(columns: Sequence[Column]) -> bytes:
    """A block of these columns without rows."""
    names = b"".join(text(column.name) + text(column.type) for column in columns)
    return varint(len(columns)) + varint(0) + names


def skip_block_info(source: Incoming) -> None:
    """Read the block info that clients put in front of a block."""
    while field := source.varint():
        if field not in (1, 2):
            raise ProtocolError(f"unknown field {field} of block info")
        source.skip(1 if field == 1 else 4)


def read_block(source: Incoming) -> bytes:
    """One block without block info; no bytes for one without columns."""
    start = source.at
    columns, rows = source.varint(), source.varint()
    for _ in range(columns):
        source.text()
        kind = source.text()
        if rows:
            _skip_column(source, kind, rows)
    return source.since(start) if columns else b""


def blocks(result: bytes) -> Iterator[bytes]:
    """The blocks of a whole result."""
    source = Incoming(lambda: b"", result)
    while not source.at_end():
        yield read_block(source)


def check_served(columns: Sequence[Column]) -> None:
    """Raises EngineError for a type that is not served."""
    for column in columns:
        _skip_values(Incoming(lambda: b""), column.type, 0)


def _skip_column(source: Incoming, kind: str, rows: int) -> None:
    source.skip(8 * kind.count(_DICTIONARY))  # each tells its version, before all values
    _skip_values(source, kind, rows)


def _skip_values(source: Incoming, kind: str, rows: int) -> None:
    name, _, rest = kind.partition("(")
    inside = rest.removesuffix(")")
    if name in _WIDTHS:
        source.skip(_WIDTHS[name] * rows)
    elif name == "String":
        source.skip_strings(rows)
    elif name == _DICTIONARY:
        _skip_dictionary(source, inside, rows)
    elif name == "Nullable":
        source.skip(rows)
        _skip_values(source, inside, rows)
    elif name == "Array":
        _skip_values(source, inside, _items(source, rows))
    elif name == "Map":
        items = _items(source, rows)
        key, _, value = inside.partition(", ")
        _skip_values(source, key, items)
        _skip_values(source, value, items)
    else:
        raise EngineError(UNKNOWN_TYPE, f"type {kind} is not served by the embedded engine")


def _skip_dictionary(source: Incoming, kind: str, rows: int) -> None:
    """The distinct values, then the number of one of them for each row."""
    if not rows:
        return _skip_values(source, kind, 0)
    flags, size = source.take(8), source.take(8)
    _skip_values(source, kind, int.from_bytes(size, "little"))
    source.skip(8 + (1 << (flags[0] & 0xF)) * rows)


def _items(source: Incoming, rows: int) -> int:
    """The number of items of all rows; each row says where its own end."""
    return int.from_bytes(source.take(8 * rows)[-8:], "little")
