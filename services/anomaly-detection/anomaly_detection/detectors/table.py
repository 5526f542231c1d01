"""Rules about lines, indexed so that a line without a match costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from struct import unpack
from typing import NamedTuple

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from aiops_core.normaliser.continuations import CONTINUES
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
from anomaly_detection.detectors.searched import SearchedMessage, SearchedText
from anomaly_detection.rules import QUOTED, Burst, LineRule, globs

_DIGIT = re.compile("[0-9]")
_ALPHABETIC = re.compile("[a-z]{2}")
_NUMBER = re.compile("[0-9]{3,}")
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
LineMatch = tuple[LineRule, re.Match[str]]

# Characters of a line that are searched. The message stands at its beginning, and the time of a
# regex may grow with the square of the length.
LOOKED_AT = 2048
ANYTHING = frozenset(("",))  # the text that every line has
SERVICE = "service"  # the group of a regex that replaces the service of the finding
SHAPES_KEPT = 8192  # lines without their digits, whose likely rules are cached: 8 MB at most
FEW = 8  # members of a bit set that are faster found in the whole of it than in its words
WORDS_KEPT = 2048  # sets of words whose texts are cached: 5 MB at most
VALUES_KEPT = 8192  # values of labels whose rules are cached
LONGEST_KEPT = 80  # characters of such a value


class Decision(NamedTuple):
    """The rule that decides about a line, and the bursts that count beside it."""

    winner: LineMatch | None
    bursts: Sequence[tuple[Burst, re.Match[str]]]


class Candidates(NamedTuple):
    """The *rules* that may match a line, as bits; those that match its labels surely do."""

    rules: int
    of_labels: Mapping[int, re.Match[str]]
    message: SearchedMessage


NO_CANDIDATES = Candidates(0, {}, SearchedMessage("", {}))
NOTHING = Decision(None, ())


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
        self._of_level = {level: _of_level(rules, level) for level in Level}
        self._of_label = _by_label(rules)
        self._order = {rule.id: precedence(rule, n) for n, rule in enumerate(rules)}
        self._bursts = _set(n for n, rule in enumerate(rules) if isinstance(rule, Burst))
        self._with_shapes = lru_cache(WORDS_KEPT)(self._shapes_of)
        of_services = _by_globs([rule.services for rule in rules])
        of_devices = _by_globs([rule.device_id for rule in rules])
        self._of_service = lru_cache(SENDERS)(partial(_including, of_services))
        self._of_device = lru_cache(SENDERS)(partial(_including, of_devices))
        self._of_value = lru_cache(VALUES_KEPT)(self._by_value)
        self._line: LogEntry | None = None
        self._matches: Sequence[LineMatch] = ()
        self._decided: LogEntry | None = None
        self._decision = NOTHING

    def matches(self, line: LogEntry) -> Sequence[LineMatch]:
        """All rules that match *line*, in the order of the files."""
        if line is not self._line:
            found = self._candidates(line)
            self._matches = list(self._matching(found, _members(found.rules)))
            self._line = line  # last: what raises has changed nothing
        return self._matches

    def ranked(self, line: LogEntry) -> Sequence[LineMatch]:
        """The matches of which one wins, that one first."""
        return ranked(self.matches(line), self._order)

    def decision(self, line: LogEntry) -> Decision:
        """What decides about *line*: the first of its matches, which are not all looked for."""
        if line is not self._decided:
            self._decision = self._decide(self._candidates(line))
            self._decided = line  # last, as above
        return self._decision

    def deciding(self, line: LogEntry) -> Sequence[LineMatch]:
        """The rules of the decision; of nearly all lines none."""
        winner, bursts = self.decision(line)
        return [winner, *bursts] if winner else bursts

    def _decide(self, candidates: Candidates) -> Decision:
        if not candidates.rules:
            return NOTHING
        counted = self._matching(candidates, _members(candidates.rules & self._bursts))
        bursts = [(rule, match) for rule, match in counted if isinstance(rule, Burst)]
        others = _members(candidates.rules & ~self._bursts)
        in_order = sorted(others, key=lambda n: self._order[self._rules[n].id])
        return Decision(next(self._matching(candidates, in_order), None), bursts)

    def _matching(self, candidates: Candidates, rules: Iterable[int]) -> Iterator[LineMatch]:
        """Those of *rules* that match."""
        for n in rules:
            rule = self._rules[n]
            match = candidates.of_labels.get(n) or candidates.message.match(rule)
            if match:
                yield rule, match

    def _candidates(self, line: LogEntry) -> Candidates:
        """The rules that may match *line*."""
        labels = line.labels
        if labels and CONTINUES in labels:
            return NO_CANDIDATES
        rules = self._of_service(line.service) & self._of_device(device_of(line))
        rules &= self._of_level[line.level]
        message = line.msg[:LOOKED_AT]
        likely = self._in_message(message, rules) if rules else 0
        of_labels: Mapping[int, re.Match[str]] = {}
        if labels and not self._of_label.keys().isdisjoint(labels):
            of_labels = self._in_labels(line, rules)
        if not likely and not of_labels:
            return NO_CANDIDATES
        return Candidates(likely | _set(of_labels), of_labels, SearchedMessage(message, labels))

    def _in_message(self, message: str, rules: int) -> int:
        """Those of *rules* that may match *message*."""
        lower = message.lower()
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
        return likely

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
        text, rules = SearchedText(value), self._of_label[name]
        return [(n, match) for n in rules if (match := text.match(self._rules[n]))]

    def _may(self, n: int, present: int, shape: str, ascii_: bool) -> bool:
        """Whether a line of this *shape* can have all texts that the nth rule needs.

        A regex without regard to case equates some non-ASCII letters, such as the long s, with
        ASCII ones; a search for a text does not.
        """
        for texts in self._choices[n]:
            if not present & texts:
                return not ascii_
        return stand_in(self._parts[n], shape) or not ascii_


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


def _of_level(rules: Sequence[LineRule], level: Level) -> int:
    """The rules about lines of *level*."""
    return _set(n for n, rule in enumerate(rules) if rule.levels is None or level in rule.levels)


def _by_globs(each: Iterable[tuple[str, ...]]) -> Mapping[tuple[str, ...], int]:
    """The rules by the globs of *each*: many have the same."""
    found: dict[tuple[str, ...], int] = {}
    for n, patterns in enumerate(each):
        found[patterns] = found.get(patterns, 0) | 1 << n
    return found


def _including(rules: Mapping[tuple[str, ...], int], name: str) -> int:
    """Those of *rules* whose globs include *name*."""
    return sum(bits for patterns, bits in rules.items() if globs(patterns)(name))


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
