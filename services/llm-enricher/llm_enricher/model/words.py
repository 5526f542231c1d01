"""Words, numbers and names in texts: what an answer quotes, and what the facts say. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_TOKEN: Final = re.compile(r"[\w\[][\w.:/\\%@#+\-\]°]*")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_PARTS: Final = re.compile(r"[-_./:@\\]+")
_SENTENCES: Final = re.compile(r"(?<=[.!?;])\s+(?=[A-Z\[\"'“(])")
_WORD: Final = re.compile(r"[a-z]{4,}")
STEM: Final = 5  # characters by which two forms of a word are the same
# Words that say nothing about which fault it is.
COMMON: Final = frozenset(
    re.findall(
        r"\w+",
        """about after again also been before being between both cannot cause caused causes causing
        could device devices does down during each error errors event failed failing fails failure
        fault faults from happened have incident indicate indicates indicating instructions into
        issue issues likely lines message messages more most other over possible possibly problem
        problems reported reports service services ship shows since some status such system systems
        than that their them then there these they this those through under until very were what
        when where which while will with without would""",
    )
)


def sentences(text: str) -> list[str]:
    return [part for one in _SENTENCES.split(text) if (part := one.strip())]


def tokens(text: str) -> list[str]:
    """Words as they stand, without what ends a sentence."""
    return [token for it in _TOKEN.findall(text) if (token := it.rstrip(".:/\\-+#@"))]


def numbers(text: str) -> set[str]:
    """The numbers in *text*; a comma and leading zeros make no difference. Of a time also its
    minute."""
    found = _NUMBER.findall(text)
    minutes = [it.rpartition(":")[0] for it in found if it.count(":") == 2]
    return {_plain(it) for it in (*found, *minutes)}


def _plain(number: str) -> str:
    return number.replace(",", ".").lstrip("0") or "0"


def stems(text: str) -> set[str]:
    """Beginnings of the words that say something about a fault."""
    return {word[:STEM] for word in _WORD.findall(text.lower()) if word not in COMMON}


def names(sentence: str) -> Iterator[str]:
    """What in *sentence* names a certain thing: it has a digit, a dot or dash inside, capitals,
    or letters of another script.

    A capital at the beginning of a sentence names nothing; numbers are looked at as such.
    """
    for place, token in enumerate(tokens(sentence)):
        inner = token.rstrip("%°")
        mixed = any(c.isalpha() for c in inner) and any(c.isdigit() for c in inner)
        capital = any(c.isupper() for c in inner[1:]) or (place > 0 and inner[:1].isupper())
        worded = any(c.isalpha() for c in inner)
        if worded and (mixed or capital or _PARTS.search(inner) or not inner.isascii()):
            yield inner


class Vocabulary:
    """The words and numbers of some texts, to look up what somebody quotes."""

    def __init__(self, texts: Iterable[str], general: Iterable[str] = ()) -> None:
        found = [token.rstrip("%°") for text in texts for token in tokens(text)]
        self._whole = {token.casefold() for token in [*found, *general]}
        parts = (part for token in found for part in _PARTS.split(token))
        self._words = self._whole | {part.casefold() for part in parts if part}

    def knows(self, name: str) -> bool:
        """*name* stands there as it is, without its plural or genitive, or is made of words that
        do: ``brown-out`` of a text with ``brown out``."""
        lower = name.casefold().strip("[]")
        if lower in self._words or name.casefold() in self._whole:
            return True
        if lower.removesuffix("s") in self._words:
            return True
        parts = [part for part in _PARTS.split(lower) if part]
        plain = all(part.isalpha() for part in parts)
        return plain and len(parts) > 1 and all(part in self._words for part in parts)
