"""Cut the lock file down to what one image needs, in three steps around pip.

    needs PYPROJECT... [--extra X]    what these projects ask for, without each other: pip resolves that
    pins LOCK                         the lock without hashes: it constrains that resolution
    cut LOCK REPORT                   the lines of the lock for what pip's --report says that it chose

pip takes hashes from a requirements file but only half checks them in a constraints file, hence the detour.
Only the standard library: this runs in an image that has nothing else yet.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9._-]+")
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


def needs(projects: Sequence[dict[str, Any]], extra: str | None) -> Iterator[str]:
    """The requirements of *projects*, with those of *extra* where a project has it."""
    own = {normal(project["name"]) for project in projects}
    extras = [project.get("optional-dependencies", {}) for project in projects]
    if extra and not any(extra in offered for offered in extras):
        raise SystemExit(f"subset_lock: no project has an extra {extra!r}")
    for project, offered in zip(projects, extras, strict=True):
        for requirement in (*project.get("dependencies", ()), *offered.get(extra, ())):
            if normal(_NAME.findall(requirement)[0]) not in own:
                yield requirement


def chosen(report: dict[str, Any]) -> set[str]:
    """What a `pip install --report` would fetch."""
    return {normal(item["metadata"]["name"]) for item in report["install"]}


def subset(lock: str, names: Iterable[str]) -> Iterator[str]:
    """The lines of *lock* for *names*; a name that it does not pin is an error.

    A name may have several lines, for different Pythons: pip picks one by its marker.
    """
    locked: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in entries(lock):
        locked[name].append(text)
    for name in sorted(names):
        if name not in locked:
            raise SystemExit(f"subset_lock: {name} is needed but not in the lock")
        yield from locked[name]


def lines(args: argparse.Namespace) -> Iterator[str]:
    match args.step:
        case "needs":
            projects = [tomllib.loads(path.read_text())["project"] for path in args.pyproject]
            return needs(projects, args.extra)
        case "pins":
            return pins(args.lock.read_text())
    return subset(args.lock.read_text(), chosen(json.loads(args.report.read_text())))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("needs")
    step.add_argument("pyproject", type=Path, nargs="+")
    step.add_argument("--extra", help="of any of these projects")
    step = steps.add_parser("pins")
    step.add_argument("lock", type=Path)
    step = steps.add_parser("cut")
    step.add_argument("lock", type=Path)
    step.add_argument("report", type=Path)
    sys.stdout.writelines(f"{line}\n" for line in lines(parser.parse_args()))


if __name__ == "__main__":
    main()
