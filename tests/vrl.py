"""Vector's language on two engines: ``vrl-python``, older than the Vector that we ship, and
``vector-vrl``, newer. What both give is what Vector gives.

``vector-vrl`` needs Python 3.12 and gets a folder of its own; where it cannot be had, its tests are
skipped with the reason.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conftest import ROOT

NEWER = "vector-vrl==1.0.7"
INSTALL_WITHIN = 120  # seconds
WORKER = """
import json, sys
from vector_vrl import execute_vrl
for line in sys.stdin:
    program, event = json.loads(line)
    try:
        [found] = execute_vrl(program, [json.dumps(event)])
    except Exception as exc:
        found = {"error": str(exc)}
    print(json.dumps(found), flush=True)
"""

Event = dict[str, Any]


class Aborted(Exception):
    """The program dropped the event on purpose."""


class Failed(Exception):
    """The program does not compile, or failed on the event."""


class Engine(Protocol):
    def run(self, program: str, event: Event) -> Any:
        """The event after *program*, or the list of events; raises Aborted and Failed."""


def _wrapped(program: str) -> str:
    """Engines differ in how they give nested values back: all of it is one text."""
    return program + '\n. = { "out": encode_json(.) }\n'


class Older:
    """``vrl-python``. A runtime keeps only the last program that it compiled, which takes a hundred
    times as long as to run it: each program has a runtime of its own."""

    def __init__(self) -> None:
        reason = "vrl-python runs Vector's language"
        self._new = pytest.importorskip("vrl_python", reason=reason).VRLRuntime
        self._runtimes: dict[str, Any] = {}

    def run(self, program: str, event: Event) -> Any:
        try:
            if program not in self._runtimes:
                self._runtimes[program] = self._new()
            found = self._runtimes[program].execute(_wrapped(program), event).processed_event
        except RuntimeError as exc:
            raise (Aborted if "aborted" in str(exc) else Failed)(str(exc)) from None
        return json.loads(found["out"])


class Newer:
    """``vector-vrl``, in a process of another Python."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, program: str, event: Event) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([_wrapped(program), event]) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        if "out" not in found:
            raise (Aborted if "abort" in str(found) else Failed)(str(found))
        return json.loads(found["out"])


def _pythons() -> Iterator[str]:
    """Pythons on this machine that may be new enough, the newest first."""
    if sys.version_info >= (3, 12):
        yield sys.executable
    versions = Path.home() / ".pyenv/versions"
    for minor in (14, 13, 12):
        yield from (str(one) for one in versions.glob(f"3.{minor}.*/bin/python"))
        if found := shutil.which(f"python3.{minor}"):
            yield found


@contextmanager
def newer(folder: Path) -> Iterator[Newer]:
    """``vector-vrl`` in *folder*; skips the test where it cannot be had."""
    for python in _pythons():
        try:
            _install(python, folder)
            break
        except (subprocess.SubprocessError, OSError):
            continue
    else:
        pytest.skip(f"no Python >= 3.12 here that gets {NEWER}")
    with subprocess.Popen(
        [str(folder / "bin/python"), "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Newer(process)
        finally:
            process.kill()


def _install(python: str, folder: Path) -> None:
    commands = (
        [python, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin/pip"), "install", "-q", "--only-binary", ":all:", NEWER],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_WITHIN)


class VectorFile:
    """``vector/vector.toml`` with *engine* in place of Vector."""

    def __init__(self, engine: Engine, settings: Mapping[str, Any] | None = None) -> None:
        self._engine = engine
        self.settings = settings or tomllib.loads((ROOT / "vector/vector.toml").read_text())

    def program(self, transform: str) -> str:
        source: str = self.settings["transforms"][transform]["source"]
        return re.sub(r"\$\{AIOPS_SHIP_ID[^}]*\}", "mv-test", source)

    def through(self, event: Event, start: str, end: str) -> list[Event]:
        """What *end* gives for an *event* that comes in at *start*."""
        events, way = [event], self._way(start, end)
        for transform in way:
            events = [made for one in events for made in self._transformed(transform, one)]
        return events

    def entry(self, line: str, sender: str = "10.1.0.7", end: str = "log_entry") -> Event:
        """The one event that *line* of *sender* becomes."""
        [event] = self.through({"message": line, "host": sender}, "frames", end)
        return event

    def _transformed(self, transform: str, event: Event) -> list[Event]:
        try:
            found = self._engine.run(self.program(transform), event)
        except Aborted:
            return []
        return found if isinstance(found, list) else [found]

    def _way(self, start: str, end: str) -> Sequence[str]:
        """The transforms from *start* to *end*."""
        way = [end]
        while way[0] != start:
            [before] = self.settings["transforms"][way[0]]["inputs"]
            way.insert(0, before)
        return way

    def failing(self, test: Mapping[str, Any]) -> list[str]:
        """What one of the file's own ``[[tests]]`` finds wrong."""
        [given] = test["inputs"]
        start, event = given["insert_at"], given["log_fields"]
        for name in test.get("no_outputs_from", ()):
            if found := self.through(event, start, name):
                return [f"{name} gave {found}"]
        return [
            str(exc)
            for output in test.get("outputs", ())
            for made in self.through(event, start, output["extract_from"])
            for condition in output["conditions"]
            if (exc := self._fault(condition["source"], made))
        ]

    def _fault(self, condition: str, event: Event) -> Failed | None:
        try:
            self._engine.run(condition, event)
        except Failed as exc:
            return exc
        return None
