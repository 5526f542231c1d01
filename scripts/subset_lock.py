"""Cut a lock file down: to plain pins that constrain a resolution, or to what one resolution chose.

pip takes hashes from a requirements file but only half checks them in a constraints file, so an image that
shall hold a part of the lock, with hashes, resolves against the pins first and installs the cut-out then.
Only the standard library: this runs in an image that has nothing else yet.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?\s*==\s*(?P<version>[^\s;\\]+)")


def normal(name: str) -> str:
    """The form in which two spellings of one distribution are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> Iterator[tuple[str, str]]:
    """Each pinned requirement of *lock*: its name, and its text with markers and hashes on one line."""
    for line in lock.replace("\\\n", " ").splitlines():
        pin = _PIN.match(line)
        if pin:
            yield normal(pin["name"]), " ".join(line.split())


def pins(lock: str) -> Iterator[str]:
    """The lock without its hashes."""
    for _, text in entries(lock):
        yield text.split(" --hash", 1)[0]


def chosen(report: dict[str, Any]) -> set[str]:
    """What a `pip install --report` would fetch from an index; our own wheels are named by path."""
    return {normal(i["metadata"]["name"]) for i in report["install"] if not i["is_direct"]}


def subset(lock: str, names: Iterable[str]) -> Iterator[str]:
    """The lines of *lock* for *names*; a name that it does not pin is an error."""
    locked = dict(entries(lock))
    for name in sorted(names):
        if name not in locked:
            raise SystemExit(f"subset_lock: {name} is needed but not in the lock")
        yield locked[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pins", action="store_true", help="print all pins, without hashes")
    what.add_argument(
        "--report", type=Path, help="print the lock's lines for what this report installs"
    )
    args = parser.parse_args()
    lock = args.lock.read_text()
    lines = pins(lock) if args.pins else subset(lock, chosen(json.loads(args.report.read_text())))
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
