"""Texts that a line must contain for a regex to match, found in the regex itself.

Looking for a text is some fifty times cheaper than trying a regex, and nearly all lines contain none,
so that a table of a hundred patterns costs microseconds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from string import ascii_lowercase
from typing import Any

# The parser of the standard library: private, but the only reading of a regex that is surely right.
_parser: Any = import_module("re._parser")
_ops: Any = import_module("re._constants")

SHORTEST = 2  # characters of a text that is worth looking for
Texts = frozenset[str]


@dataclass(frozen=True, slots=True)
class Either:
    """Of one of these sequences all parts are in the line."""

    options: tuple[Parts, ...]


Parts = tuple[str | Either, ...]


def parts(regex: re.Pattern[str]) -> Parts:
    """What stands in lower case in every line that *regex* finds something in."""
    return _of_sequence(_parser.parse(regex.pattern, regex.flags))


def required(regex: re.Pattern[str]) -> Texts | None:
    """Lower-case texts of which every match contains at least one; None when there are none."""
    return _most_telling(parts(regex))


def stand_in(needed: Parts, lower: str) -> bool:
    """Whether *lower* has all parts, in whatever order."""
    for part in needed:
        if isinstance(part, str):
            if part not in lower:
                return False
        elif not any(stand_in(option, lower) for option in part.options):
            return False
    return True


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> Parts:
    found: list[str | Either] = []
    run = ""
    for op, argument in (*parsed, (_ops.AT, None)):
        if op is _ops.LITERAL:
            run += chr(argument).lower()
            continue
        if len(run) >= SHORTEST:
            found.append(run)
        run = ""
        found += _of_part(op, argument)
    return tuple(found)


def _of_part(op: Any, argument: Any) -> Parts:
    if op is _ops.SUBPATTERN:
        return _of_sequence(argument[-1])
    if op is _ops.BRANCH:
        return (Either(tuple(_of_sequence(branch) for branch in argument[1])),)
    if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT) and argument[0] >= 1:
        return _of_sequence(argument[2])
    return ()


def _most_telling(needed: Parts) -> Texts | None:
    """The texts of one part: all must be there, so any one will do."""
    return max(filter(None, map(_texts, needed)), key=_telling, default=None)


def _texts(part: str | Either) -> Texts | None:
    if isinstance(part, str):
        return frozenset((part,))
    known = [texts for texts in map(_most_telling, part.options) if texts]
    return frozenset[str]().union(*known) if len(known) == len(part.options) else None


def _telling(texts: Texts) -> float:
    """Long texts tell more than short ones, few are cheaper than many."""
    return min(map(len, texts)) - 0.5 * len(texts)


_LETTERS = re.compile("[a-z]+")
_BLANKED = bytes(n if chr(n) in ascii_lowercase else ord(" ") for n in range(256))
RUNS_KEPT = 20_000


class Fragments(dict[str, int]):
    """Which of many texts a line can contain, by its words alone.

    The two longest runs of letters of a text must lie within runs of letters of the line. Runs repeat,
    numbers do not: what each run allows is remembered, and looking at a line costs what its words cost,
    however many texts there are.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        runs = [sorted(_LETTERS.findall(text), key=len) or [""] for text in texts]
        self._count = len(texts)
        self._sought = [of[-1] for of in runs] + [of[-2:][0] for of in runs]
        self._always = self[""]  # those without a letter

    def __missing__(self, run: str) -> int:
        """Bit n stands for the longest run of the nth text, bit n of the second half for its second."""
        if len(self) >= RUNS_KEPT:
            self.clear()
        bits = self[run] = sum(1 << n for n, sought in enumerate(self._sought) if sought in run)
        return bits

    def possible(self, lower: str) -> int:
        """The texts that *lower*, a line in lower case, may contain, as bits."""
        bits = self._always
        for run in _runs(lower):
            bits |= self[run]
        return bits & bits >> self._count


def _runs(lower: str) -> Sequence[str]:
    """The runs of letters; what ``_LETTERS`` finds, in half of the time."""
    return lower.encode("utf-8", "surrogatepass").translate(_BLANKED).decode("ascii").split()
