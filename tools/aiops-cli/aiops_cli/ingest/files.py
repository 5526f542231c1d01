"""A file, an archive or a pipe → whole lines of text, in bounded memory.

What a file is shows in its first bytes, not in its name. Text that is not UTF-8 is kept, with a
replaced character; a file that is no text is refused whole, and named for what it is.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import re
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zstandard

from aiops_core.errors import Misconfigured

# The largest datagram that syslog can send. A line travels twice in its row (msg and raw), and JSON
# may need six bytes for one: this is the round number with which the message stays below the
# megabyte that NATS takes by default.
LONGEST_LINE = 64 * 1024
STDIN = Path("-")
PAUSE = 0.2  # seconds without input after which what was read is sent
_CHUNK = 256 * 1024  # bytes of a file or pipe that are read at once
_HEAD = 4096  # bytes that show what a file is
_BOM = b"\xef\xbb\xbf"
_LONG_ENDS = re.compile(rb"\r\n|\n")
_OLD_ENDS = re.compile(rb"\r")
_CONTROL = bytes(n for n in range(32) if n not in b"\t\n\r\x0b\x0c\x1b\0")
_MOST_CONTROL = 0.1  # share of control characters in text

_UNPACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": lambda file: zstandard.ZstdDecompressor().stream_reader(
        file, read_across_frames=True
    ),
}
_NO_TEXT = {  # the first bytes of what people take for a log file
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!": "a rar archive; unpack it first",
    b"ElfFile\0": "a Windows event log (evtx); export it as text or JSON first, with wevtutil",
    b"LPKSHHRH": "a journal of systemd; export it first, with journalctl -o json",
    b"SQLite format 3\0": "a SQLite database",
    b"\xd4\xc3\xb2\xa1": "a recording of network packets (pcap)",
    b"\xa1\xb2\xc3\xd4": "a recording of network packets (pcap)",
    b"\x0a\x0d\x0d\x0a": "a recording of network packets (pcapng)",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
    b"MZ": "a Windows program",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"RaUdP\0": "a binary file of IEC 61162-450",
}
_TAR = (257, b"ustar")
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


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


@dataclass(frozen=True, slots=True)
class Pause:
    """A pipe or a growing file has nothing more for now: what was read so far can be sent."""


FileLine = TextLine | BlankLine | RefusedLine | Pause
Stopped = Callable[[], bool]


def check(paths: Sequence[Path]) -> None:
    """Raise Misconfigured on the first path that is not a readable file."""
    if not paths:
        raise Misconfigured("no file given")
    if sum(map(is_stdin, paths)) > 1:
        raise Misconfigured("-: standard input can be read only once")
    for path in paths:
        if is_stdin(path):
            continue
        if not path.exists():
            raise Misconfigured(f"{path}: no such file")
        if path.is_dir():
            raise Misconfigured(f"{path}: is a directory; name the files in it")
        if not os.access(path, os.R_OK):
            raise Misconfigured(f"{path}: no permission to read it")


def check_ends(paths: Sequence[Path]) -> None:
    """Raise Misconfigured on the first path that is no file, and so has no end that is known."""
    for path in paths:
        if is_stdin(path) or not path.is_file():
            raise Misconfigured(
                f"--as-now: {path}: the end of a pipe is not known before it comes; "
                "write it to a file, and replay that"
            )


def is_stdin(path: Path) -> bool:
    return path == STDIN


def size(paths: Sequence[Path]) -> int | None:
    """Bytes to read; None when that is not known beforehand (compressed, a pipe)."""
    total = 0
    for path in paths:
        if is_stdin(path) or not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if _unpacker(head) or _encoding(head) != "utf-8":
            return None
        total += path.stat().st_size
    return total


def read(
    path: Path, *, follow: bool = False, stopped: Stopped = lambda: False
) -> Iterator[FileLine]:
    """All lines of *path*; ``-`` is standard input. A damaged file ends with a refused line.

    A pipe is read until its writer closes it, and with *follow* a file for ever, also after it was
    truncated or replaced by a new one. Whenever nothing more comes for PAUSE seconds, a Pause is
    yielded. *stopped* ends both; what was read until then is yielded.
    """
    number = 0
    try:
        with _opened(path, stopped, follow=follow) as source:
            head = source.head()
            if reason := _no_text(head):
                yield RefusedLine(str(path), 1, f"is {reason}")
                return
            for raw in _raw_lines(_unpacked(source, head)):
                if raw is None:
                    yield Pause()
                    continue
                number += 1
                yield _decoded(path, number, raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        reason = f"file is damaged or unreadable from here: {reason}"
        yield RefusedLine(str(path), number + 1, reason)


# ------------------------------------------------------------------------------------------ bytes
class _Source:
    """The bytes of a file or pipe. ``read`` gives b"" at the end, None when nothing comes now."""

    def __init__(self, path: Path, fd: int, stopped: Stopped, *, follow: bool) -> None:
        self._path, self._fd, self._stopped, self._follow = path, fd, stopped, follow
        self.is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._first: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not is_stdin(self._path):
            os.close(self._fd)

    def head(self) -> bytes:
        """The first bytes, which ``read`` gives again."""
        while self._first is None:
            self._first = self._chunk()
        return self._first[:_HEAD]

    def read(self) -> bytes | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._chunk()

    def _chunk(self) -> bytes | None:
        if self.is_file:
            return os.read(self._fd, _CHUNK) or (self._later() if self._follow else b"")
        while not select.select([self._fd], [], [], PAUSE)[0]:
            return b"" if self._stopped() else None
        return os.read(self._fd, _CHUNK)

    def _later(self) -> bytes | None:
        """Wait for more of a growing file; b"" when the reading was stopped."""
        if self._stopped():
            return b""
        select.select([], [], [], PAUSE)
        self._reopen()
        return os.read(self._fd, _CHUNK) or None

    def _reopen(self) -> None:
        """Go on with a file that replaced this one, or at the start after it was truncated."""
        mine = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except OSError:
            return  # between two files
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            fd = os.open(self._path, os.O_RDONLY)
            os.close(self._fd)
            self._fd = fd
        elif mine.st_size < os.lseek(self._fd, 0, os.SEEK_CUR):
            os.lseek(self._fd, 0, os.SEEK_SET)


def _opened(path: Path, stopped: Stopped, *, follow: bool) -> _Source:
    fd = sys.stdin.fileno() if is_stdin(path) else os.open(path, os.O_RDONLY)
    return _Source(path, fd, stopped, follow=follow and not is_stdin(path))


class _Raw:
    """A source as the file object that unpackers want."""

    def __init__(self, source: _Source) -> None:
        self._source, self._rest = source, b""

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            chunk = self._source.read()
            if chunk == b"":
                return b""
            self._rest = chunk or b""
        if size < 0:
            size = len(self._rest)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _unpacked(source: _Source, head: bytes) -> Iterator[bytes | None]:
    """The text of *source* in UTF-8, in chunks; None for a pause."""
    if unpack := _unpacker(head):
        file = unpack(_Raw(source))
        chunks: Iterator[bytes | None] = iter(lambda: file.read1(_CHUNK), b"")
        first = next(chunks, b"") or b""
        encoding = _encoding(first)
        chunks = _chained(first, chunks)
    else:
        chunks = iter(source.read, b"")
        encoding = _encoding(head)
    if encoding == "utf-8":
        return chunks
    return _recoded(chunks, codecs.getincrementaldecoder(encoding)("replace"))


def _chained(first: bytes, rest: Iterator[bytes | None]) -> Iterator[bytes | None]:
    yield first
    yield from rest


def _recoded(
    chunks: Iterator[bytes | None], decoder: codecs.IncrementalDecoder
) -> Iterator[bytes | None]:
    for chunk in chunks:
        yield chunk if chunk is None else decoder.decode(chunk).encode("utf-8", "replace")


def _unpacker(head: bytes) -> Callable[[Any], Any] | None:
    return next((unpack for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)


def _encoding(head: bytes) -> str:
    """UTF-16 by its byte order mark, or because every second byte is zero."""
    if head[:2] in _UTF_16:
        return _UTF_16[head[:2]]
    start = head[: 256 - len(head) % 2] if len(head) >= 16 else b""
    even, odd = start[0::2], start[1::2]
    if even and odd.count(0) > 0.8 * len(odd) and even.count(0) < 0.2 * len(even):
        return "utf-16-le"
    if even and even.count(0) > 0.8 * len(even) and odd.count(0) < 0.2 * len(odd):
        return "utf-16-be"
    return "utf-8"


def _no_text(head: bytes) -> str | None:
    """What a file is that holds no text, or None."""
    for magic, what in _NO_TEXT.items():
        if head.startswith(magic):
            return what
    at, magic = _TAR
    if head[at:].startswith(magic):
        return "a tar archive; unpack it first"
    if _unpacker(head) or _encoding(head) != "utf-8":
        return None
    body = head.replace(b"\0", b"")
    control = len(body) - len(body.translate(None, _CONTROL))
    return "binary, not text" if control > _MOST_CONTROL * len(head) else None


# ------------------------------------------------------------------------------------------ lines
def _raw_lines(chunks: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Lines without their ends; of a line that is too long one byte too many is kept, no more.

    Lines end with LF or CR LF; if the first chunk has a CR and no LF, with CR.
    """
    rest, ends = b"", None
    for chunk in chunks:
        if chunk is None:
            yield None
            continue
        if ends is None:
            chunk = chunk.removeprefix(_BOM)
            ends = _OLD_ENDS if b"\r" in chunk.rstrip() and b"\n" not in chunk else _LONG_ENDS
            if ends is _LONG_ENDS and chunk.endswith(b"\r") and b"\n" not in chunk:
                ends = None  # one line and its CR so far: not known yet
        if ends is None:
            rest += chunk
            continue
        *lines, rest = ends.split(rest + chunk)
        yield from lines
        rest = rest[: LONGEST_LINE + 2] if len(rest) > LONGEST_LINE + 2 else rest
    if ends is None and rest:
        yield from _OLD_ENDS.split(rest.rstrip(b"\r"))
    elif rest:
        yield rest


def _decoded(path: Path, number: int, raw: bytes) -> FileLine:
    body = raw.rstrip(b"\r\n\0")
    body = body.lstrip(b"\0")  # a hole that a crash left in the file
    if not body or body.isspace():
        return BlankLine(number)
    if len(body) > LONGEST_LINE:
        return RefusedLine(str(path), number, f"longer than {LONGEST_LINE // 1024} KiB")
    return TextLine(number, body.decode("utf-8", "replace").replace("\0", "\ufffd"))
