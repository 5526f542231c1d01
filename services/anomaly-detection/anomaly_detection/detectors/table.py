"""Rules about lines, indexed so that a line without a match costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from struct import unpack
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from aiops_core.normaliser.continuations import CONTINUES
from aiops_core.normaliser.statement import statement
from anomaly_detection.detectors.base import SENDERS, EntrySource, device_of
from anomaly_detection.detectors.literals import (
    MARK,
    Fragments,
    Parts,
    choices,
    parts,
    required,
    stand_in,
    words,
)
from anomaly_detection.detectors.overlaps import precedence, ranked
from anomaly_detection.rules import QUOTED, LineRule, globs

_DIGIT = re.compile("[0-9]")
_ALPHABETIC = re.compile("[a-z]{2}")
_NUMBER = re.compile("[0-9]{3,}")
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
R = TypeVar("R", bound=LineRule)
LineMatch = tuple[LineRule, re.Match[str]]

# Characters of a line that are searched. The message stands at its beginning, and the time of a
# regex may grow with the square of the length.
LOOKED_AT = 2048
Places = Sequence[tuple[int, int]]  # beginnings and ends of matches
NEAR_BEGINNING = 400  # characters of a line in which rules with `near` look
MOST_PLACES = 16  # of one `near` in a line
ANYTHING = frozenset(("",))  # the text that every line has
SERVICE = "service"  # the group of a regex that replaces the service of the finding
SHAPES_KEPT = 8192  # lines without their digits, whose likely rules are cached: 8 MB at most
FEW = 8  # members of a bit set that are faster found in the whole of it than in its words
WORDS_KEPT = 2048  # sets of words whose texts are cached: 5 MB at most
VALUES_KEPT = 8192  # values of labels whose rules are cached
LONGEST_KEPT = 80  # characters of such a value


class RuleTable:
    """Finds the rules that match a line: by sender, then by a text it must contain, then by regex.

    Detectors that share a table ask for the same line in turn; it is searched once. Sets of texts
    and of rules are bit sets in integers: for most lines one ``&`` is enough.
    """

    def __init__(self, rules: Sequence[LineRule]) -> None:
        self._rules = rules
        of_message = [n for n, rule in enumerate(rules) if in_message(rule)]
        needed = {n: required(rules[n].regex) or ANYTHING for n in of_message}
        chosen = {n: _choices(rules[n]) for n in of_message}
        self._parts = {n: _parts(rules[n]) for n in of_message}
        all_texts = (*needed.values(), *(texts for of in chosen.values() for texts in of))
        of_parts = (text for of in self._parts.values() for text in _texts_in(of))
        self._texts = sorted(frozenset[str]().union(*all_texts, of_parts))
        places = {text: place for place, text in enumerate(self._texts)}
        self._choices = {
            n: [_set(places[text] for text in texts) for texts in of] for n, of in chosen.items()
        }
        self._rules_of = [0] * len(self._texts)
        for n, of in needed.items():
            for text in of:
                self._rules_of[places[text]] |= 1 << n
        self._shapes = [_shape(text) for text in self._texts]
        self._fragments = Fragments([_DIGIT.sub(" ", text) for text in self._texts])
        self._plain: dict[str, list[int]] = {}  # shapes without a run of letters, of which texts
        for n in _members(self._fragments.always):
            self._plain.setdefault(self._shapes[n], []).append(n)
        self._numbers = Numbers(needed)
        bare = (n for n, of in needed.items() if not all(map(_ALPHABETIC.search, of)))
        self._bare = {n: needed[n] for n in bare if needed[n] != ANYTHING}
        self._bare_rules = _set(self._bare)
        self._of_shape: dict[bytes, int] = {}
        self._of_texts: dict[tuple[tuple[int, ...], int, bool, bool], int] = {}
        marked = (n for n, of in chosen.items() if frozenset((MARK,)) in of)
        self._unmarked = ~_set(marked)
        self._needy = _set(n for n, rule in enumerate(rules) if rule.needs)
        self._helps: dict[str, int] = {}
        for n, rule in enumerate(rules):
            for word in rule.needs or ():
                self._helps[word] = self._helps.get(word, 0) | 1 << n
        self._audiences = _audiences(rules)
        self._of_label = _by_label(rules)
        self._order = {rule.id: precedence(rule, n) for n, rule in enumerate(rules)}
        self._with_shapes = lru_cache(WORDS_KEPT)(self._shapes_of)
        self._of_sender = lru_cache(SENDERS)(self._applicable)
        self._of_value = lru_cache(VALUES_KEPT)(self._by_value)
        self._line: LogEntry | None = None
        self._matches: Sequence[LineMatch] = ()
        self._ranked: Sequence[LineMatch] = ()

    def matches(self, line: LogEntry) -> Sequence[LineMatch]:
        """The rules that match *line*, in the order of the files."""
        if line is not self._line:
            found = self._found(line)
            self._ranked = ranked(found, self._order) if found else ()
            self._line, self._matches = line, found  # last: what raises has changed nothing
        return self._matches

    def ranked(self, line: LogEntry) -> Sequence[LineMatch]:
        """The matches of which one wins, that one first."""
        self.matches(line)
        return self._ranked

    def winner(self, line: LogEntry) -> LineMatch | None:
        """The rule that decides about *line*; bursts count beside it."""
        ranked_ = self.ranked(line)
        return ranked_[0] if ranked_ else None

    def of(self, kind: type[R], line: LogEntry) -> Sequence[tuple[R, re.Match[str]]]:
        """The matches of one *kind* of rules."""
        return [(rule, match) for rule, match in self.matches(line) if isinstance(rule, kind)]

    def _found(self, line: LogEntry) -> Sequence[LineMatch]:
        if line.labels and CONTINUES in line.labels:
            return ()
        rules = self._of_sender(line.service, device_of(line), line.level)
        found = self._in_message(line, rules) if rules else {}
        if line.labels and not self._of_label.keys().isdisjoint(line.labels):
            found |= self._in_labels(line, rules)
        return [(self._rules[n], found[n]) for n in sorted(found)] if found else ()

    def _in_message(self, line: LogEntry, rules: int) -> dict[int, re.Match[str]]:
        looked_at = line.msg[:LOOKED_AT]
        lower = looked_at.lower()
        shape = lower.encode("utf-8", "surrogatepass").translate(_ZEROS)
        likely = self._of_shape.get(shape)
        if likely is None:
            if len(self._of_shape) >= SHAPES_KEPT:
                self._of_shape.clear()
            likely = self._of_shape[shape] = self._likely(_shape(lower))
        likely &= rules
        if likely & self._numbers.rules:
            likely &= ~self._numbers.rules | self._numbers.possible(lower)
        if likely & self._bare_rules:
            likely = self._without_bare(likely, lower)
        if not likely:
            return {}
        found = self._search(_members(likely), looked_at)
        return self._of_statement(found, line, looked_at) if found else {}

    def _likely(self, shape: str) -> int:
        """The rules that a line of this *shape* can match, whatever its digits are."""
        possible = self._with_shapes(self._fragments.possible(shape))
        found = [n for n, text in possible if text in shape]
        for text, numbers in self._plain.items():
            if text in shape:
                found += numbers
        key = (tuple(found), self._helped(shape), MARK in shape, shape.isascii())
        likely = self._of_texts.get(key)
        if likely is None:
            if len(self._of_texts) >= SHAPES_KEPT:
                self._of_texts.clear()
            likely = self._of_texts[key] = self._with_texts(*key, shape)
        return likely

    def _shapes_of(self, texts: int) -> Sequence[tuple[int, str]]:
        """The numbers of *texts*, which are given as bits, and their shapes."""
        return [(n, self._shapes[n]) for n in _members(texts)]

    def _with_texts(
        self, found: Sequence[int], helped: int, mark: bool, ascii_: bool, shape: str
    ) -> int:
        """The rules that a line can match of which the texts *found* are known: no other one of
        the table is in its *shape*."""
        present, candidates = _set(found), 0
        for n in found:
            candidates |= self._rules_of[n]
        if not mark:
            candidates &= self._unmarked
        candidates &= ~self._needy | helped
        return _set(n for n in _members(candidates) if self._may(n, present, shape, ascii_))

    def _without_bare(self, likely: int, lower: str) -> int:
        """The *likely* rules without those whose texts have no letters and are not in *lower*."""
        for n in _members(likely & self._bare_rules):
            if not any([text in lower for text in self._bare[n]]):  # noqa: C419 - faster
                likely ^= 1 << n
        return likely

    def _helped(self, lower: str) -> int:
        """The rules that find a word that they need."""
        bits, helps = 0, self._helps
        for word in words(lower):
            if word in helps:
                bits |= helps[word]
        return bits

    def _search(self, rules: Iterable[int], text: str) -> dict[int, re.Match[str]]:
        """The *rules* that match *text*."""
        excluded: dict[str, bool] = {}  # by regex: whether it is in the text
        places: dict[str, Places] = {}  # by regex: where it is in the text
        found: dict[int, re.Match[str]] = {}
        for n in rules:
            rule = self._rules[n]
            match = _near(rule, rule.near, text, places) if rule.near else rule.regex.search(text)
            if match and not (rule.unless and _is_in(rule.unless, text, excluded)):
                found[n] = match
        return found

    def _of_statement(
        self, found: dict[int, re.Match[str]], line: LogEntry, looked_at: str
    ) -> dict[int, re.Match[str]]:
        """*found*, without what matches only in texts that the device quotes."""
        said = statement(looked_at, line.labels)
        if said == looked_at:
            return found
        quoted = {n: match for n, match in found.items() if QUOTED in self._rules[n].looks_in}
        return quoted | self._search((n for n in found if n not in quoted), said)

    def _in_labels(self, line: LogEntry, rules: int) -> dict[int, re.Match[str]]:
        found: dict[int, re.Match[str]] = {}
        for name in self._of_label.keys() & line.labels.keys():
            value = line.labels[name][:LOOKED_AT]
            by_value = self._of_value if len(value) <= LONGEST_KEPT else self._by_value
            for n, match in by_value(name, value):
                if rules >> n & 1:
                    found.setdefault(n, match)
        return found

    def _by_value(self, name: str, value: str) -> Sequence[tuple[int, re.Match[str]]]:
        """The rules about the label *name* that match *value*."""
        return list(self._search(self._of_label[name], value).items())

    def _may(self, n: int, present: int, shape: str, ascii_: bool) -> bool:
        """Whether a line of this *shape* can have all texts that the nth rule needs.

        A regex without regard to case equates some non-ASCII letters, such as the long s, with
        ASCII ones; a search for a text does not.
        """
        for texts in self._choices[n]:
            if not present & texts:
                return not ascii_
        return stand_in(self._parts[n], shape) or not ascii_

    def _applicable(self, service: str, device: str, level: Level) -> int:
        """The rules to try on such lines."""
        of = self._audiences.items()
        return sum(rules for audience, rules in of if audience.includes(service, device, level))


class Numbers:
    """The rules that need one of some numbers, as messages with ids have them."""

    def __init__(self, needed: Mapping[int, frozenset[str]]) -> None:
        self.rules = 0
        self._of: dict[str, int] = {}
        for n, texts in needed.items():
            runs = [max(_NUMBER.findall(text), key=len, default="") for text in texts]
            if all(runs):
                self.rules |= 1 << n
                for run in runs:
                    self._of[run] = self._of.get(run, 0) | 1 << n
        self._lengths = sorted({len(run) for run in self._of})

    def possible(self, text: str) -> int:
        """Those of them whose number is in *text*."""
        bits = 0
        for run in _NUMBER.findall(text):
            for length in self._lengths:
                for start in range(len(run) - length + 1):
                    bits |= self._of.get(run[start : start + length], 0)
        return bits


class Audience(NamedTuple):
    """The senders and levels that some rules are about."""

    services: tuple[str, ...]
    device_id: tuple[str, ...]
    levels: frozenset[Level] | None

    def includes(self, service: str, device: str, level: Level) -> bool:
        return (
            (self.levels is None or level in self.levels)
            and globs(self.services)(service)
            and globs(self.device_id)(device)
        )


def _audiences(rules: Sequence[LineRule]) -> Mapping[Audience, int]:
    """The rules of each audience: many have the same."""
    found: dict[Audience, int] = {}
    for n, rule in enumerate(rules):
        audience = Audience(rule.services, rule.device_id, rule.levels)
        found[audience] = found.get(audience, 0) | 1 << n
    return found


def _by_label(rules: Sequence[LineRule]) -> Mapping[str, Sequence[int]]:
    """The places of the rules that look into each label."""
    found: dict[str, list[int]] = {}
    for n, rule in enumerate(rules):
        for name in rule.looks_in:
            if name != QUOTED:
                found.setdefault(name, []).append(n)
    return found


def in_message(rule: LineRule) -> bool:
    """Whether *rule* is about the message, and not only about labels."""
    return not rule.looks_in or QUOTED in rule.looks_in


def _shape(text: str) -> str:
    """*text* with another digit for each: what lines have in common that differ in numbers."""
    return _DIGIT.sub("0", text)


def _parts(rule: LineRule) -> Parts:
    """What a line that *rule* matches has in its shape, beside a text of each of its choices."""
    needed = (*parts(rule.regex), *(parts(rule.near) if rule.near else ()))
    return _of_shape(tuple(part for part in needed if _says_more(part)))


def _says_more(part: str | tuple[Parts, ...]) -> bool:
    """Whether *part* demands more than one text of each of its options."""
    if isinstance(part, str) or not all(part):
        return False
    return any(len(option) > 1 or not isinstance(option[0], str) for option in part)


def _of_shape(needed: Parts) -> Parts:
    """The shapes of *needed*, without those that have no word: nearly all lines have these."""
    shapes = (
        _shape(part) if isinstance(part, str) else tuple(map(_of_shape, part)) for part in needed
    )
    return tuple(one for one in shapes if not isinstance(one, str) or _ALPHABETIC.search(one))


def _texts_in(needed: Parts) -> Iterator[str]:
    for part in needed:
        if isinstance(part, str):
            yield part
        else:
            for option in part:
                yield from _texts_in(option)


def _choices(rule: LineRule) -> Sequence[frozenset[str]]:
    """Sets of texts: a line that *rule* matches has one of each."""
    return [*choices(rule.regex), *(choices(rule.near) if rule.near else ())]


def _near(
    rule: LineRule, near: re.Pattern[str], text: str, known: dict[str, Places]
) -> re.Match[str] | None:
    """The match of *rule* that has *near* close to it; one that names a component before others."""
    best: re.Match[str] | None = None
    for match in rule.regex.finditer(text, 0, NEAR_BEGINNING):
        places = known.get(near.pattern)
        if places is None:
            spans = (found.span() for found in near.finditer(text, 0, NEAR_BEGINNING))
            places = known[near.pattern] = tuple(islice(spans, MOST_PLACES))
        start, end = match.span()
        if any(start - b <= rule.apart and a - end <= rule.apart for a, b in places):
            if match.lastgroup:
                return match
            best = best or match
    return best


def _is_in(regex: re.Pattern[str], text: str, known: dict[str, bool]) -> bool:
    """Whether *regex* is in *text*; *known* keeps the answer."""
    answer = known.get(regex.pattern)
    if answer is None:
        answer = known[regex.pattern] = regex.search(text) is not None
    return answer


def _set(members: Iterable[int]) -> int:
    return sum(1 << n for n in members)


def _members(bits: int) -> Sequence[int]:
    """In ascending order."""
    found: list[int] = []
    if bits.bit_count() < FEW:
        while bits:
            lowest = bits & -bits
            found.append(lowest.bit_length() - 1)
            bits ^= lowest
        return found
    count = (bits.bit_length() + 63) // 64
    for place, word in enumerate(unpack(f"<{count}Q", bits.to_bytes(8 * count, "little"))):
        while word:
            lowest = word & -word
            found.append(64 * place + lowest.bit_length() - 1)
            word ^= lowest
    return found


def details(match: re.Match[str]) -> dict[str, JsonValue]:
    """The named groups that took part in the match, without ``service``, see ``about``."""
    return {name: value for name, value in match.groupdict().items() if value and name != SERVICE}


def about(line: LogEntry, match: re.Match[str]) -> EntrySource:
    """The sender of *line*, with the service that the group ``service`` names."""
    source = EntrySource.of(line)
    service = match.groupdict().get(SERVICE)
    return replace(source, service=service) if service else source


def listed(found: dict[str, JsonValue]) -> str:
    """`` (peer 10.0.0.1, user root)``, or nothing."""
    return f" ({', '.join(f'{k} {v}' for k, v in found.items())})" if found else ""
