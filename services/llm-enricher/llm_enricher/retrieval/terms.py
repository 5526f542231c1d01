"""The words of a text, as the lexical rank compares them. Pure."""

from __future__ import annotations

import re

READ_MOST = 4000  # characters of a text
_WORD = re.compile(r"[a-z0-9]+")
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_COMMON_WORDS = """
a about after again all also an and any are as at be because been before being both but by can
cannot could did do does doing during each else few for from had has have he her here him his
how i if in into is it its just like may me more most must my no nor not now of off on once one
only or other our out over own same she should so some such than that the their them then there
these they this those to too under until up us very was we were what when where which while who
whom why will with would you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_ENDINGS = (
    "ations", "ation", "ating", "ated", "ates", "ate",
    "ings", "ing", "ions", "ion", "ed", "ly", "er", "es", "s",
)  # fmt: skip
_STEM = 3  # characters of a word that are left at least


def terms(text: str) -> list[str]:
    """Its words without endings, common words and numbers, in order, repeated as they are.

    Numbers are left out: in log lines they are process ids, ports and times.
    """
    words = _WORD.findall(_INNER_CAPITAL.sub(" ", text[:READ_MOST]).lower())
    return [stem(word) for word in words if not _is_noise(word)]


def _is_noise(word: str) -> bool:
    return word in _COMMON or word.isdigit() or len(word) == 1


def stem(word: str) -> str:
    """*word* without its ending, so that ``fails``, ``failed`` and ``failing`` are one."""
    if word.endswith("ies") and len(word) > _STEM + 2:
        return f"{word[:-3]}y"
    if word.endswith("ss"):
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM:
            return _undoubled(word[: -len(ending)])
    return word[:-1] if word.endswith("e") and len(word) > _STEM + 1 else word


def _undoubled(word: str) -> str:
    """``dropp`` of ``dropped`` as ``drop``, ``configur`` as it is, ``calle`` as ``call``."""
    if word.endswith("e") and len(word) > _STEM:
        word = word[:-1]
    return (
        word[:-1] if len(word) > _STEM and word[-1] == word[-2] and word[-1] not in "lsz" else word
    )
