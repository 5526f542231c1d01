"""A group of similar lines, and the places of their values.

A line is cut into pieces: a word with the blank before it and the punctuation after it. Drain
splits at blanks: so a blank of the line becomes a mark at the head of the next piece, and the sign
of a place with several words is a blank, which no piece contains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from anomaly_detection.templates.masking import WILD

ENOUGH = 5  # different words at one place of otherwise equal lines: values, not alternatives
NAMES_KEPT = 20_000  # pieces in the cache of ``is_name``

BLANK, OPEN = "\x01", " "
_PIECE = re.compile(r"\x01?[^\x01=:,;()\[\]{}\"'|]*[=:,;()\[\]{}\"'|]*")
_COMPOUND = re.compile(r"^\W*\w+(?:[.$_-]+\w+)+(?<!error)(?<!exception)\W*$", re.IGNORECASE)
_AROUND = "\x01=:,;()[]{}\"'|"


def cut(line: str) -> list[str]:
    """The pieces of *line*, whose blanks are single."""
    return [piece for piece in _PIECE.findall(line.replace(" ", BLANK)) if piece]


@dataclass(slots=True)
class LineGroup:
    """Similar lines: the pieces of the first one, and the words at places where others differ.

    ``words`` of a place is empty when the place holds values.
    """

    pieces: list[str]
    id: str
    words: dict[int, list[str]] = field(default_factory=dict)
    used: int = 0  # number of the last line; 0 until the first one is reported
    born: int = 0  # number of the first line

    def note(self, place: int, piece: str) -> bool:
        """Add *piece* at *place*; True if this proves that the place holds values."""
        words = self.words.setdefault(place, [self.pieces[place]])
        if not words or piece in words:
            return False
        words.append(piece)
        if len(words) < ENOUGH and not any(_core(word) == WILD for word in words):
            return False
        words.clear()
        return True

    def text(self, pieces: list[str]) -> str:
        """The template of a line of this group."""
        values = {place for place, words in self.words.items() if not words}
        shown = (_wild(self.pieces[n]) if n in values else piece for n, piece in enumerate(pieces))
        return "".join(shown).replace(BLANK, " ").strip()

    def copy(self) -> LineGroup:
        words = {place: list(words) for place, words in self.words.items()}
        return LineGroup(self.pieces, self.id, words, self.used, self.born)

    def tokens(self) -> list[str]:
        """The group as Drain sees it."""
        return [OPEN if n in self.words else piece for n, piece in enumerate(self.pieces)]


def _core(piece: str) -> str:
    return piece.strip(_AROUND)


@lru_cache(NAMES_KEPT)
def is_name(piece: str) -> bool:
    """Whether *piece* looks like a name: parts joined by dots, dashes or underscores."""
    return _COMPOUND.search(piece) is not None


def _wild(piece: str) -> str:
    """*piece* with its word replaced, and the punctuation around it kept."""
    core = _core(piece)
    return piece.replace(core, WILD, 1) if core else piece
