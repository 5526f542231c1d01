"""Folders in which files come and go all the time, apart from each other on the disk.

ext4 makes a file near its folder, and a folder near its parent. Without a journal it also passes over every
inode that was deleted there in the last minutes, one after the other: where ClickHouse makes and drops the parts
of a table, a new file soon takes a millisecond. Folders below one with the attribute *top of directory
hierarchies* (``chattr +T``) are spread over the disk instead.
"""

from __future__ import annotations

import array
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h
TOP = 0x00020000  # FS_TOPDIR_FL
STREAMS = "nats/jetstream/*/streams/*"
TABLES = "clickhouse/store/*/*"


def spread(data: Path) -> None:
    """Mark the busy folders of a fleet below *data*; where that is not possible nothing happens."""
    for folder in busy(data):
        with suppress(OSError):
            mark(folder)


def busy(data: Path) -> Iterator[Path]:
    """Those that there are now."""
    yield from data.glob(TABLES)
    yield from data.glob(STREAMS)


def mark(folder: Path) -> None:
    """Raises OSError where the file system knows no such attribute."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(handle, GET_FLAGS, flags)
        if not flags[0] & TOP:
            flags[0] |= TOP
            fcntl.ioctl(handle, SET_FLAGS, flags)
    finally:
        os.close(handle)
