"""What a text claims, and what it advises: wordings, without those that it negates. Pure.

Text between quotation marks is what a device said, and no claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"")
SENTENCES = re.compile(r"(?<=[.!?])\s+|[;\n]|:\s")
CLAUSES = re.compile(r",\s|\s(?:but|because|so|while)\s")
NEGATION = re.compile(
    r"\b(?:no|not|never|nor|neither|none|nothing|without|cannot|rather than|instead of|excludes?"
    r"|rules? out|ruled out|speaks? against)\b|n't\b",
    re.IGNORECASE,
)
TAKEN_BACK = re.compile(
    r"\b(?:ruled out|excluded|not the (?:cause|reason)|nothing to do|no part|unlikely|fine|healthy"
    r"|in order|normal|intact|as (?:usual|before))\b",
    re.IGNORECASE,
)
NEGATED_WORD = re.compile(
    r"(?:\b(?:no|not|never|nor|without|rather than|instead of)|n't)\s+"
    r"(?:(?:an?|the|any|due to|caused by|because of|from|by)\s+){0,3}$",
    re.IGNORECASE,
)
FORBIDDING = re.compile(r"^\W*(?:do not|don't|never|avoid|no )", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _compiled(wording: str) -> re.Pattern[str]:
    """It begins with a word: to unlock is not to lock."""
    return re.compile(rf"(?<!\w)(?:{wording})", re.IGNORECASE)


def unquoted(text: str) -> str:
    return QUOTED.sub("“”", text)


def claims(text: str, wordings: Iterable[str]) -> str | None:
    """The first clause of *text* that claims one of *wordings*; None if none does."""
    patterns = [_compiled(wording) for wording in wordings]
    return next((clause for clause in _clauses(text) if _claims(clause, patterns)), None)


def advises(text: str, wordings: Iterable[str]) -> str | None:
    """The first sentence of *text* that advises one of *wordings*; not to do it is no such
    advice."""
    patterns = [_compiled(wording) for wording in wordings]
    for sentence in SENTENCES.split(unquoted(text)):
        if FORBIDDING.search(sentence):
            continue
        if any(_claims(clause, patterns) for clause in CLAUSES.split(sentence)):
            return sentence
    return None


def names(text: str, concept: Sequence[str]) -> bool:
    """Whether *text* has *concept* in one of its wordings, not only as what it denies."""
    text = unquoted(text)
    return any(
        not NEGATED_WORD.search(text[: found.start()])
        for wording in concept
        for found in _compiled(wording).finditer(text)
    )


def _clauses(text: str) -> Iterator[str]:
    for sentence in SENTENCES.split(unquoted(text)):
        yield from CLAUSES.split(sentence)


def _claims(clause: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    return any(
        not _negated(clause, found) for pattern in patterns for found in pattern.finditer(clause)
    )


def _negated(clause: str, found: re.Match[str]) -> bool:
    """Whether the clause denies what it names: before it, after it, or inside it, unless the
    wording is a negation itself."""
    before, after = clause[: found.start()], clause[found.end() :]
    inside = "" if NEGATION.search(found.re.pattern) else found.group().partition(" ")[2]
    return bool(NEGATION.search(before) or NEGATION.search(inside) or TAKEN_BACK.search(after))
