"""Cut the lock file down to what some packages or projects need.

    subset_lock.py LOCK NEED... [--extra X]     a NEED is a package's name or a pyproject.toml

Follows the notes of `make lock` at each package ("# via"); no index is asked and nothing resolved.
A dependency of an extra is kept for everybody who needs the package: maybe a line too many, never
one too few. Uses the standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# A requirement goes on over lines that end with a backslash; comments on those who need it follow.
_ENTRY = re.compile(
    r"^(?P<pin>[A-Za-z0-9](?:.*\\\n)*.*\n?)(?P<needed_by>(?:[ \t]+#.*\n?)*)", re.MULTILINE
)


def normal(name: str) -> str:
    """The form in which two spellings of one distribution are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def first_name(text: str) -> str:
    return normal(_NAME.findall(text)[0])


@dataclass(frozen=True)
class Entry:
    """One pinned requirement: its text with markers and hashes in one line, and who needs it."""

    name: str
    text: str
    needed_by: frozenset[str]


def entries(lock: str) -> Iterator[Entry]:
    for found in _ENTRY.finditer(lock):
        text = " ".join(found["pin"].replace("\\\n", " ").split())
        notes = [line.strip(" \t#") for line in found["needed_by"].splitlines()]
        users = [note.removeprefix("via").strip() for note in notes]
        yield Entry(first_name(text), text, frozenset(first_name(user) for user in users if user))


def subset(lock: Sequence[Entry], needs: Iterable[str]) -> Iterator[str]:
    """The lines of *lock* for *needs* and their dependencies; exits when a need is not pinned.

    A name may have several lines, for different Pythons: pip picks one by its marker.
    """
    chosen = {normal(name) for name in needs}
    if missing := chosen - {entry.name for entry in lock}:
        raise SystemExit(f"subset_lock: not in the lock: {', '.join(sorted(missing))}")
    while more := {entry.name for entry in lock if entry.needed_by & chosen} - chosen:
        chosen |= more
    return (entry.text for entry in lock if entry.name in chosen)


def asked_by(projects: Sequence[dict[str, Any]], extra: str | None) -> Iterator[str]:
    """The names that *projects* require, without each other; with *extra* if a project has it."""
    own = {normal(project["name"]) for project in projects}
    extras = [project.get("optional-dependencies", {}) for project in projects]
    if extra and not any(extra in offered for offered in extras):
        raise SystemExit(f"subset_lock: no project has an extra {extra!r}")
    for project, offered in zip(projects, extras, strict=True):
        asked = (*project.get("dependencies", ()), *offered.get(extra, ()))
        yield from {first_name(requirement) for requirement in asked} - own


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lock", type=Path)
    parser.add_argument("need", nargs="+")
    parser.add_argument("--extra", help="of any of the projects")
    args = parser.parse_args()
    files = [need for need in args.need if need.endswith(".toml")]
    projects = [tomllib.loads(Path(file).read_text())["project"] for file in files]
    needs = {*args.need} - {*files} | {*asked_by(projects, args.extra)}
    sys.stdout.writelines(f"{line}\n" for line in subset([*entries(args.lock.read_text())], needs))


if __name__ == "__main__":
    main()
