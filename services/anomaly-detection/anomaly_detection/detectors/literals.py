"""Texts that a line must contain for a regex to match, derived from the regex.

A search for a text is some fifty times cheaper than a regex, and nearly all lines contain none of
the texts: a table of a hundred patterns costs microseconds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from string import ascii_lowercase
from typing import Any

# The parser of the standard library: private, but the only one that surely agrees with ``re``.
_parser: Any = import_module("re._parser")
_ops: Any = import_module("re._constants")

SHORTEST = 2  # characters of a text that is worth looking for
Texts = frozenset[str]


# A line contains all of them: texts, and for each inner tuple all parts of one of its options.
Parts = tuple["str | tuple[Parts, ...]", ...]


def parts(regex: re.Pattern[str]) -> Parts:
    """The lower-case texts in every line that *regex* matches."""
    return _of_sequence(_parser.parse(regex.pattern, regex.flags))


def required(regex: re.Pattern[str]) -> Texts | None:
    """Lower-case texts of which every match contains at least one; None without any."""
    return _most_telling(parts(regex))


def stand_in(needed: Parts, lower: str) -> bool:
    """Whether *lower* has all parts, in any order."""
    for part in needed:
        if isinstance(part, str):
            if part not in lower:
                return False
        elif not any(stand_in(option, lower) for option in part):
            return False
    return True


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> Parts:
    found: list[str | tuple[Parts, ...]] = []
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
        return (tuple(_of_sequence(branch) for branch in argument[1]),)
    if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT) and argument[0] >= 1:
        return _of_sequence(argument[2])
    return ()


def _most_telling(needed: Parts) -> Texts | None:
    """The texts of the most selective part: all parts are required, so one is enough."""
    return max(filter(None, map(_texts, needed)), key=_telling, default=None)


def _texts(part: str | tuple[Parts, ...]) -> Texts | None:
    if isinstance(part, str):
        return frozenset((part,))
    known = [texts for texts in map(_most_telling, part) if texts]
    return frozenset[str]().union(*known) if len(known) == len(part) else None


def _telling(texts: Texts) -> float:
    """How selective *texts* are: long ones more than short ones, few more than many."""
    return min(map(len, texts)) - 0.5 * len(texts)


_ALPHABETIC = re.compile("[a-z]+")
_BLANKED = bytes(n if chr(n) in ascii_lowercase else ord(" ") for n in range(256))
RUNS_KEPT = 20_000


class Fragments(dict[str, int]):
    """An index from runs of letters in a line to the texts that it can contain.

    The two longest runs of letters of a text must lie within runs of the line. Runs repeat, numbers
    do not: the texts of each run are cached, and the cost does not depend on the number of texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        runs = [sorted(_ALPHABETIC.findall(text), key=len) or [""] for text in texts]
        self._count = len(texts)
        self._sought = [of[-1] for of in runs] + [of[-2:][0] for of in runs]
        self._always = self[""]  # those without a letter

    def __missing__(self, run: str) -> int:
        """Bit n is the longest run of the nth text, bit n of the upper half its second."""
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
    """As ``_ALPHABETIC.findall``, in half of the time."""
    return lower.encode("utf-8", "surrogatepass").translate(_BLANKED).decode("ascii").split()
