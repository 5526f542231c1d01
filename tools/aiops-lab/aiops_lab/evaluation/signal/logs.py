"""Which files of a folder are logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from aiops_core.errors import Misconfigured

# By the name, also packed and rotated; a file that is given by itself is a log whatever its name.
_LOG = re.compile(
    r"(?:\.(?:log|out|err|jsonl|ndjson)|^(?:syslog|messages|secure|dmesg|maillog))"
    r"(?:[.-]\d+)*(?:\.(?:gz|xz|bz2|zst))?$",
    re.IGNORECASE,
)


def logs_in(places: Iterable[Path]) -> list[Path]:
    """The files in *places* and below, in order; raises Misconfigured for a place without one."""
    return list(dict.fromkeys(log for place in places for log in _logs_in(place)))


def _logs_in(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    found = sorted(file for file in place.rglob("*") if file.is_file() and _LOG.search(file.name))
    if not found:
        reason = "no log in it (*.log, also packed or rotated); name the files"
        raise Misconfigured(f"{place}: {reason if place.is_dir() else 'no such file or folder'}")
    yield from found
