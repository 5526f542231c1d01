"""Texts that a line must contain for a regex to match, derived from the regex.

A search for a text is some fifty times cheaper than a regex, and nearly all lines contain none of
the texts: a table of a hundred patterns costs microseconds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from string import ascii_lowercase, digits
from typing import Any, NamedTuple

# The parser of the standard library: private, but the only one that surely agrees with ``re``.
_parser: Any = import_module("re._parser")
_ops: Any = import_module("re._constants")

REGEXES_KEPT = 8192  # of which texts are cached
MARK = "%"  # begins the messages of Cisco and others: a text, although it is a single character
EVERYWHERE = 50
SHORTEST = 2  # characters of a text that is worth looking for
Texts = frozenset[str]


# A line contains all of them: texts, and for each inner tuple all parts of one of its options.
Parts = tuple["str | tuple[Parts, ...]", ...]


class RegexFacts(NamedTuple):
    """What is known of a regex from its text."""

    parts: Parts
    choices: Sequence[Texts]
    required: Texts | None
    fixed: int
    nested: bool


@lru_cache(REGEXES_KEPT)
def _facts(regex: re.Pattern[str]) -> RegexFacts:
    """All of it at once: to parse a regex takes half as long as to compile it."""
    parsed = _parser.parse(regex.pattern, regex.flags)
    needed = _of_sequence(parsed)
    choices = [texts for texts in map(_texts, needed) if texts]
    required_ = max(choices, key=_telling, default=None)
    return RegexFacts(needed, choices, required_, _fixed(parsed), _nested(parsed, within=False))


def parts(regex: re.Pattern[str]) -> Parts:
    """The lower-case texts in every line that *regex* matches."""
    return _facts(regex).parts


def choices(regex: re.Pattern[str]) -> Sequence[Texts]:
    """Sets of lower-case texts; every match contains at least one text of each."""
    return _facts(regex).choices


def required(regex: re.Pattern[str]) -> Texts | None:
    """Lower-case texts of which every match contains at least one; None without any."""
    return _facts(regex).required


def fixed(regex: re.Pattern[str]) -> int:
    """Characters that every match of *regex* has in it: how specific it is."""
    return _facts(regex).fixed


def nested_repetition(regex: re.Pattern[str]) -> bool:
    """Whether an unbounded repetition is within another: its time may grow exponentially."""
    return _facts(regex).nested


def stand_in(needed: Parts, lower: str) -> bool:
    """Whether *lower* has all parts, in any order."""
    for part in needed:
        if isinstance(part, str):
            if part not in lower:
                return False
        elif not _one_stands_in(part, lower):
            return False
    return True


def _one_stands_in(options: tuple[Parts, ...], lower: str) -> bool:
    """Whether *lower* has all parts of one option: as ``stand_in`` of each, in half of the time."""
    for option in options:
        for part in option:
            if isinstance(part, str):
                if part not in lower:
                    break
            elif not _one_stands_in(part, lower):
                break
        else:
            return True
    return False


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> Parts:
    found: list[str | tuple[Parts, ...]] = []
    run = ""
    for op, argument in (*parsed, (_ops.AT, None)):
        if op is _ops.LITERAL:
            run += chr(argument).lower()
            continue
        if len(run) >= SHORTEST or run == MARK:
            found.append(run)
        run = ""
        found += _of_part(op, argument)
    return tuple(found)


def _of_part(op: Any, argument: Any) -> Parts:
    if op is _ops.SUBPATTERN:
        return _of_sequence(argument[-1])
    if op is _ops.BRANCH:
        return (tuple(_of_sequence(branch) for branch in argument[1]),)
    if op is _ops.ASSERT and argument[0] > 0:  # what follows must stand there, wherever that is
        return _of_sequence(argument[1])
    if op in _REPEATS and argument[0] >= 1:
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
    return min(map(_worth, texts)) - 0.5 * len(texts)


def _worth(text: str) -> int:
    """Its length; nearly every line has the blanks and colons of a text without a word."""
    return len(text) if _RUNS.search(text) else -EVERYWHERE


def _fixed(parsed: Iterable[tuple[Any, Any]]) -> int:
    return sum(_fixed_of(op, argument) for op, argument in parsed)


def _fixed_of(op: Any, argument: Any) -> int:
    if op is _ops.LITERAL:
        return 1
    if op is _ops.SUBPATTERN:
        return _fixed(argument[-1])
    if op is _ops.BRANCH:
        return min(map(_fixed, argument[1]))
    if op in _REPEATS:
        return int(argument[0]) * _fixed(argument[2])
    if op is _ops.ASSERT and argument[0] > 0:
        return _fixed(argument[1])
    return 0


def _nested(parsed: Iterable[tuple[Any, Any]], *, within: bool) -> bool:
    for op, argument in parsed:
        unbounded = op in _REPEATS and argument[1] is _ops.MAXREPEAT
        if unbounded and within:
            return True
        if any(_nested(part, within=within or unbounded) for part in _inner(op, argument)):
            return True
    return False


def _inner(op: Any, argument: Any) -> Sequence[Any]:
    """The sequences within a part of a regex."""
    if op is _ops.SUBPATTERN or op in (_ops.ASSERT, _ops.ASSERT_NOT):
        return (argument[-1],)
    if op is _ops.BRANCH:
        return tuple(argument[1])
    return (argument[2],) if op in _REPEATS else ()


_REPEATS = (_ops.MAX_REPEAT, _ops.MIN_REPEAT, _ops.POSSESSIVE_REPEAT)
_RUNS = re.compile("[a-z]{2,}|[0-9]{3,}")
_ALPHABETIC = bytes(n if chr(n) in ascii_lowercase else ord(" ") for n in range(256))
_NUMERIC = bytes(n if chr(n) in digits else ord(" ") for n in range(256))
RUNS_KEPT = 20_000


class Fragments(dict[str, int]):
    """An index from runs of letters or of digits in a line to the texts that it can contain.

    The two longest runs of a text must lie within runs of the line. Runs of letters repeat: the
    texts of each are cached. A new one costs a look-up of each of its parts, and so does a number,
    whatever the number of texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        runs = [sorted(_RUNS.findall(text), key=len) or [""] for text in texts]
        self._sought: dict[str, int] = {}
        for n, sought in enumerate([of[-1] for of in runs] + [of[-2:][0] for of in runs]):
            self._sought[sought] = self._sought.get(sought, 0) | 1 << n
        self._count = len(texts)
        self.always = self._sought.pop("", 0) & (1 << self._count) - 1  # texts without a run
        self._lengths = sorted({len(run) for run in self._sought if run.isalpha()})
        self._digits = sorted({len(run) for run in self._sought if run.isdigit()})

    def __missing__(self, run: str) -> int:
        """Bit n is the longest run of the nth text, bit n of the upper half its second."""
        if len(self) >= RUNS_KEPT:
            self.clear()
        bits = self[run] = self._within(run, self._lengths)
        return bits

    def possible(self, lower: str) -> int:
        """The texts with a run that *lower*, a line in lower case, may contain, as bits."""
        bits, text = 0, lower.encode("utf-8", "surrogatepass")
        for run in _split(text, _ALPHABETIC):
            bits |= self[run]
        if self._digits:
            for run in _split(text, _NUMERIC):
                if len(run) >= self._digits[0]:
                    bits |= self._within(run, self._digits)
        return bits & bits >> self._count

    def _within(self, run: str, lengths: Sequence[int]) -> int:
        """The texts with a run that is a part of *run*, of one of *lengths*."""
        bits, sought, size = 0, self._sought, len(run)
        for length in lengths:
            if length > size:
                break
            for start in range(size - length + 1):
                bits |= sought.get(run[start : start + length], 0)
        return bits


def words(lower: str) -> Sequence[str]:
    """The runs of letters in *lower*."""
    return _split(lower.encode("utf-8", "surrogatepass"), _ALPHABETIC)


def _split(text: bytes, kept: bytes) -> Sequence[str]:
    """The runs of the characters that are *kept*: as ``findall``, in half of the time."""
    return text.translate(kept).decode("ascii").split()
