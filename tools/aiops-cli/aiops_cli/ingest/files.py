"""A file → whole lines, in bounded memory. A line that is not text is refused, with the reason."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aiops_core.errors import Misconfigured

# The largest datagram that syslog can send. A line travels twice in its row (msg and raw), and JSON
# may need six bytes for one: this is the round number with which the message stays below the
# megabyte that NATS takes by default.
LONGEST_LINE = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_BUFFER = 256 * 1024


@dataclass(frozen=True, slots=True)
class TextLine:
    """A non-empty line without its end. *number* counts from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class BlankLine:
    """Nothing to send."""

    number: int


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not sent, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


FileLine = TextLine | BlankLine | RefusedLine


def check(paths: Sequence[Path]) -> None:
    """Raise Misconfigured on the first path that is not a readable file."""
    if not paths:
        raise Misconfigured("no file given")
    for path in paths:
        if not path.exists():
            raise Misconfigured(f"{path}: no such file")
        if path.is_dir():
            raise Misconfigured(f"{path}: is a directory; name the files in it")
        if not os.access(path, os.R_OK):
            raise Misconfigured(f"{path}: no permission to read it")


def size(paths: Sequence[Path]) -> int | None:
    """Bytes to read; None when that is not known beforehand (compressed, a pipe)."""
    known = all(path.is_file() and path.suffix != ".gz" for path in paths)
    return sum(path.stat().st_size for path in paths) if known else None


def read(path: Path) -> Iterator[FileLine]:
    """All lines of *path*. A damaged file ends with a refused line."""
    number = 0
    try:
        with _open(path) as file:
            for raw in _raw_lines(file):
                number += 1
                yield _decoded(path, number, raw)
    except (OSError, EOFError, zlib.error) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        reason = f"file is damaged or unreadable from here: {reason}"
        yield RefusedLine(str(path), number + 1, reason)


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb", buffering=_BUFFER)


def _raw_lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """Lines; a line that is too long is cut, and its rest is never held in memory."""
    most = LONGEST_LINE + len(b"\r\n")
    while raw := file.readline(most):
        yield raw
        while len(raw) == most and not raw.endswith(b"\n"):
            raw = file.readline(most)


def _decoded(path: Path, number: int, raw: bytes) -> FileLine:
    if number == 1:
        raw = raw.removeprefix(_BOM)
    body = raw.rstrip(b"\r\n")
    if not body or body.isspace():
        return BlankLine(number)
    if len(body) > LONGEST_LINE:
        return RefusedLine(str(path), number, f"longer than {LONGEST_LINE // 1024} KiB")
    if b"\0" in body:
        return RefusedLine(str(path), number, "contains NUL bytes")
    try:
        return TextLine(number, body.decode())
    except UnicodeDecodeError as exc:
        reason = f"not UTF-8: byte {exc.start + 1} is 0x{body[exc.start]:02x}"
        return RefusedLine(str(path), number, reason)
