"""Texts of rules, filled with the values of an incident. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

# Placeholders, and their words for an incident without a value.
PLACEHOLDERS = {
    "device": "the affected device",
    "devices": "the affected devices",
    "service": "the service",
    "peer": "a remote address",
    "count": "several",
    "user": "an account",
    "interface": "an interface",
    "path": "a volume",
    "process": "a process",
    "disk": "a disk",
    "array": "the array",
    "part": "a part",
    "value": "its value",
    "limit": "its limit",
    "name": "the name",
    "other": "another device",
    "network": "a network",
    "session": "a session",
    "query": "a query",
    "job": "a job",
    "version": "another version",
    "who": "somebody",
    "when": "shortly before",
    "reason": "an unknown reason",
    "minutes": "some",
}
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE = re.compile(r"(?<=[.!?”])\s+")
_VALUE_KEPT = 80  # characters of a value
Words = Mapping[str, str]


def known_placeholders() -> str:
    return ", ".join(PLACEHOLDERS)


def placeholders(text: str) -> Iterator[str]:
    """The names in *text*; raises ValueError for braces that do not belong together."""
    return (name for _, name, _, _ in Formatter().parse(text) if name is not None)


def checked(text: str) -> str:
    """*text* if it can be filled; raises ValueError."""
    if unknown := set(placeholders(text)) - set(PLACEHOLDERS):
        raise ValueError(f"unknown placeholder {{{unknown.pop()}}}: try {known_placeholders()}")
    return text


def fill(text: str, known: Words) -> str:
    """*text* with the values *known*, else with general words.

    What stands in [brackets] is left out unless all its placeholders have a value. A name at the
    beginning keeps its spelling, general words become a sentence.
    """
    text = _OPTIONAL.sub(lambda part: _if_known(part[1], known), text)
    values = {name: _shortened(value) for name, value in known.items() if value.strip()}
    filled = " ".join(text.format_map(PLACEHOLDERS | values).split())
    general = (words for name, words in PLACEHOLDERS.items() if name not in values)
    return filled[:1].upper() + filled[1:] if filled.startswith(tuple(general)) else filled


def _if_known(part: str, known: Words) -> str:
    return part if all(known.get(name, "").strip() for name in placeholders(part)) else ""


def _shortened(value: str) -> str:
    value = " ".join(value.split()).strip(" ,;")
    return value if len(value) <= _VALUE_KEPT else value[: _VALUE_KEPT - 1] + "…"


def without_repeats(texts: Sequence[str], *, keep: int = 0) -> tuple[str, ...]:
    """*texts* without the sentences that an earlier one has said, and without empty ones.

    The first *keep* keep their place, also when nothing is left of them.
    """
    said: set[str] = set()
    kept = [_unsaid(text, said) for text in texts]
    return tuple(text for n, text in enumerate(kept) if text or n < keep)


def _unsaid(text: str, said: set[str]) -> str:
    kept = []
    for sentence in _sentences(text):
        key = sentence.strip(" .").lower()
        if key not in said:
            said.add(key)
            kept.append(sentence)
    return " ".join(kept)


def _sentences(text: str) -> Iterator[str]:
    """What a device said, between quotation marks, is not taken apart."""
    sentence = ""
    for part in _SENTENCE.split(text):
        sentence = f"{sentence} {part}".lstrip()
        if sentence.count("“") <= sentence.count("”"):
            yield sentence
            sentence = ""
    if sentence:
        yield sentence
