"""Blocks of columns: on the wire with a small header (block info), in the engine's `Native` format
without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from .layout import Layout, Sink, UnknownLayout, layout_of
from .wire import Incoming, ProtocolError, text, varint

INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Block info: no overflow rows, no bucket."""

_HANDFUL = 1 << 20


@dataclass(frozen=True, slots=True)
class Column:
    """Name and ClickHouse type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A block's columns and its number of rows."""

    columns: tuple[Column, ...]
    rows: int


Types = Sequence[str]


class Gather:
    """Joins small pieces to handfuls of about a megabyte before passing them on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pieces: list[bytes] = []
        self._size = 0

    def __call__(self, piece: bytes, /) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _HANDFUL:
            self.flush()

    def flush(self) -> None:
        """Pass on what is left."""
        if self._pieces:
            self._sink(b"".join(self._pieces))
        self._pieces, self._size = [], 0


def header(columns: Sequence[Column]) -> bytes:
    """A block of these columns without rows, without block info."""
    names = b"".join(text(column.name) + text(column.type) for column in columns)
    return varint(len(columns)) + varint(0) + names


def skip_info(source: Incoming) -> None:
    """Read the block info that clients put in front. Raises ProtocolError."""
    while field := source.varint():
        if field not in (1, 2):
            raise ProtocolError(f"unknown field {field} of block info")
        source.take(1 if field == 1 else 4)


def copy_block(source: Incoming, open_sink: Callable[[], Sink], types: Types = ()) -> Shape:
    """Pass one block without block info to a sink, which is only opened for a block with rows.

    `types`, if given, replace the names of the columns' types. Raises ProtocolError when a
    column's end cannot be found.
    """
    count, rows = source.varint(), source.varint()
    sink = Gather(open_sink() if rows else _nowhere)
    sink(varint(count) + varint(rows))
    new = types or (None,) * count
    columns = [_copy_column(source, rows, sink, new[at]) for at in range(count)]
    sink.flush()
    return Shape(tuple(columns), rows)


def _copy_column(source: Incoming, rows: int, sink: Sink, new: str | None) -> Column:
    column = Column(source.text(), source.text())
    sink(text(column.name) + text(new or column.type))
    if rows:
        layout = _layout(column)
        sink(source.take(layout.prefix))
        layout.copy(source, rows, sink)
    return column


def _layout(column: Column) -> Layout:
    try:
        return layout_of(column.type)
    except UnknownLayout as unknown:
        problem = f"column {column.name}: type {column.type} is not supported"
        raise ProtocolError(problem) from unknown


def _nowhere(_piece: bytes, /) -> None:
    return


def columns_in(data: bytes) -> tuple[Column, ...]:
    """The columns of the first block in `data`. Raises ProtocolError."""
    return copy_block(_reader(data), lambda: _nowhere).columns


def split(data: bytes, rows: int, types: Types = ()) -> Iterator[tuple[int, bytes]]:
    """The blocks in `data`, which has `rows` rows in all, each with its number of rows.

    Nearly always there is just one, as its header tells, and no type to rename: only otherwise
    are the columns walked.
    """
    source = _reader(data)
    source.varint()
    if source.varint() == rows and not types:
        yield rows, data
        return
    source = _reader(data)
    while source.peek() is not None:
        pieces: list[bytes] = []
        shape = copy_block(source, partial(_adder, pieces), types)
        yield shape.rows, b"".join(pieces)


def _adder(pieces: list[bytes]) -> Sink:
    return pieces.append


def _reader(data: bytes) -> Incoming:
    reader = Incoming(iter([data, b""]).__next__)
    reader.fill(len(data))
    return reader
