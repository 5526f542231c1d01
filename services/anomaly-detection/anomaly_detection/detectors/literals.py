"""Texts that a line must contain for a regex to match, found in the regex itself.

Looking for a text is some fifty times cheaper than trying a regex, and nearly all lines contain none,
so that a table of a hundred patterns costs microseconds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

# The parser of the standard library: private, but the only reading of a regex that is surely right.
_parser: Any = import_module("re._parser")
_ops: Any = import_module("re._constants")

SHORTEST = 2  # characters of a text that is worth looking for
Texts = frozenset[str]


def required(regex: re.Pattern[str]) -> Texts | None:
    """Lower-case texts of which every match contains at least one; None when there are none."""
    return _of_sequence(_parser.parse(regex.pattern, regex.flags))


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> Texts | None:
    """The texts of the most telling part: all parts must match, so any one will do."""
    options: list[Texts] = []
    run = ""
    for op, argument in (*parsed, (_ops.AT, None)):
        if op is _ops.LITERAL:
            run += chr(argument).lower()
            continue
        if len(run) >= SHORTEST:
            options.append(frozenset((run,)))
        run = ""
        if part := _of_part(op, argument):
            options.append(part)
    return max(options, key=_telling, default=None)


def _of_part(op: Any, argument: Any) -> Texts | None:
    if op is _ops.SUBPATTERN:
        return _of_sequence(argument[-1])
    if op is _ops.BRANCH:
        return _of_branches([_of_sequence(branch) for branch in argument[1]])
    if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT) and argument[0] >= 1:
        return _of_sequence(argument[2])
    return None


def _of_branches(branches: list[Texts | None]) -> Texts | None:
    known = [branch for branch in branches if branch]
    return frozenset().union(*known) if len(known) == len(branches) else None


def _telling(texts: Texts) -> float:
    """Long texts tell more than short ones, few are cheaper than many."""
    return min(map(len, texts)) - 0.5 * len(texts)


_LETTERS = re.compile("[a-z]+")
RUNS_KEPT = 20_000


class Fragments(dict[str, int]):
    """Which of many texts a line can contain, by its words alone.

    Of each text the longest run of letters must lie within a run of letters of the line. Runs repeat,
    numbers do not: what each run allows is remembered, and looking at a line costs what its words cost,
    however many texts there are.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._sought = [max(_LETTERS.findall(text), key=len, default="") for text in texts]
        self._always = self[""]  # those without a letter

    def __missing__(self, run: str) -> int:
        """Bit n stands for the nth text."""
        if len(self) >= RUNS_KEPT:
            self.clear()
        bits = self[run] = sum(1 << n for n, sought in enumerate(self._sought) if sought in run)
        return bits

    def possible(self, lower: str) -> int:
        """The texts that *lower*, a line in lower case, may contain, as bits."""
        bits = self._always
        for run in _LETTERS.findall(lower):
            bits |= self[run]
        return bits
