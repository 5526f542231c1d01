"""Compressed frames: checksum (16 bytes), method (1), sizes with header and without (4 + 4), the
compressed bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial

from .wire import Incoming, ProtocolError

_LZ4, _ZSTD, _PLAIN = 0x82, 0x90, 0x02
_HEADER = 9
_FRAME = 1 << 20
_LARGEST = 1 << 30


def compressed(data: bytes) -> Iterator[bytes]:
    """`data` as frames of at most a megabyte each, by LZ4 as ClickHouse answers by default."""
    pack = importlib.import_module("lz4.block").compress
    for start in range(0, len(data), _FRAME):
        plain = data[start : start + _FRAME]
        packed: bytes = pack(plain, store_size=False)
        sizes = (len(packed) + _HEADER).to_bytes(4, "little") + len(plain).to_bytes(4, "little")
        frame = bytes([_LZ4]) + sizes + packed
        yield _checksum(frame) + frame


def decompressing(source: Incoming) -> Incoming:
    """A reader of what the frames in `source` hold. Raises ProtocolError on a bad frame."""
    return Incoming(partial(_read_frame, source))


def _read_frame(source: Incoming) -> bytes:
    checksum, header = source.take(16), source.take(_HEADER)
    packed_size = int.from_bytes(header[1:5], "little") - _HEADER
    plain_size = int.from_bytes(header[5:9], "little")
    if not (0 <= packed_size <= _LARGEST and plain_size <= _LARGEST):
        raise ProtocolError("a compressed frame of impossible size")
    packed = source.take(packed_size)
    if _checksum(header + packed) != checksum:
        raise ProtocolError("the checksum of a compressed frame does not match")
    return _method(header[0])(packed, plain_size)


def _method(byte: int) -> Callable[[bytes, int], bytes]:
    methods = {_LZ4: _unpack_lz4, _ZSTD: _unpack_zstd, _PLAIN: lambda packed, _size: packed}
    if byte not in methods:
        raise ProtocolError(f"unknown compression method {byte:#x}")
    return methods[byte]


def _unpack_lz4(packed: bytes, size: int) -> bytes:
    plain: bytes = importlib.import_module("lz4.block").decompress(packed, uncompressed_size=size)
    return plain


def _unpack_zstd(packed: bytes, _size: int) -> bytes:
    plain: bytes = importlib.import_module("zstd").decompress(packed)
    return plain


def _checksum(frame: bytes) -> bytes:
    """CityHash128 in the order of halves that ClickHouse writes."""
    value: int = importlib.import_module("clickhouse_cityhash.cityhash").CityHash128(frame)
    return (value >> 64).to_bytes(8, "little") + (value & (1 << 64) - 1).to_bytes(8, "little")
