"""Where the broker gathers an atomic batch until it is complete: in memory, not on disk.

JetStream writes what comes of a batch into files of its own first, syncs them, and copies them into the
stream when the last message is there; only then it acknowledges. What lies there at a power cut belongs to
a batch that nobody was told of, so no disk needs to know it. In memory a batch of ten takes half as
long as ten messages one by one, on disk longer than these. Elsewhere than on Linux nothing changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

STREAMS = "nats/jetstream/*/streams/*"
BATCHES = "batches"  # in the folder of a stream
MEMORY = Path("/dev/shm")


def stage(data: Path, memory: Path = MEMORY) -> None:
    """Lead the batches of the streams below *data* to *memory*. A folder in use is left for the next call."""
    if not memory.is_dir():
        return
    for stream in data.glob(STREAMS):
        with suppress(OSError):
            _lead(stream / BATCHES, _own(room(data, memory)) / stream.name)


def unstage(data: Path, memory: Path = MEMORY) -> None:
    """Forget what is in memory; the broker of *data* has ended."""
    shutil.rmtree(room(data, memory), ignore_errors=True)


def room(data: Path, memory: Path = MEMORY) -> Path:
    """The folder for the batches of *data*: the same after a kill, so that none is left behind."""
    return memory / f"aiops-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]}"


def _own(folder: Path) -> Path:
    """*folder*, made for us alone. Raises OSError when somebody else has it: memory is shared by all."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def _lead(batches: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    if batches.is_symlink():
        if batches.readlink() == target:
            return
        batches.unlink()
    elif batches.exists():
        batches.rmdir()  # only when it is empty
    batches.symlink_to(target)
