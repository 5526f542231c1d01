"""Groups of similar lines and the places of their values; Drain, which finds the group of a line.

A line is cut into pieces: a word with the blank before it and the punctuation after it. Drain
splits at blanks: so a blank of the line becomes a mark at the head of the next piece, and the sign
of a place with several words is a blank, which no piece contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import eq

from drain3.drain import Drain, LogCluster

from anomaly_detection.templates.masking import WILD

ENOUGH = 5  # different words at one place of otherwise equal lines: values, not alternatives
NAMES_KEPT = 20_000  # pieces in the cache of ``_is_name``
ALIKE = 0.8  # of the words of two lines must be equal; with less, "x started" joins "y stopped"
OWN = 0.5  # of the words must be equal in any case
CROWD = 25  # groups that fit by half: one statement, of which more than a fifth are values
Place = tuple[int, int, str]  # number of pieces in a line, index of a piece, the piece

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
def _is_name(piece: str) -> bool:
    """Whether *piece* looks like a name: parts joined by dots, dashes or underscores."""
    return _COMPOUND.search(piece) is not None


def _wild(piece: str) -> str:
    """*piece* with its word replaced, and the punctuation around it kept."""
    core = _core(piece)
    return piece.replace(core, WILD, 1) if core else piece


class Tree(Drain):  # type: ignore[misc]  # drain3 has no types
    """Drain, for which an open place is no difference, within bounds.

    An index selects the groups to compare. A group can match only if half of its own pieces are
    those of the line, so at least one of the first half of the places, and one more, is equal.
    Without the index, random lines would be compared with all groups of their length.
    """

    def __init__(self) -> None:
        super().__init__(depth=3, sim_th=ALIKE, param_str=OPEN, parametrize_numeric_tokens=False)
        self._having: dict[Place, set[int]] = {}

    def add_seq_to_prefix_tree(self, root_node: object, cluster: LogCluster) -> None:
        super().add_seq_to_prefix_tree(root_node, cluster)
        for place in _places(cluster.log_template_tokens):
            self._having.setdefault(place, set()).add(cluster.cluster_id)

    def restore(self, number: int, tokens: Sequence[str]) -> None:
        """Add the group *number*; call it in their order."""
        cluster = LogCluster(tokens, number)
        self.id_to_cluster[number] = cluster
        self.add_seq_to_prefix_tree(self.root_node, cluster)
        self.clusters_counter = number

    def forget(self, number: int, pieces: Sequence[str]) -> None:
        del self.id_to_cluster[number]
        for place in _places(pieces):
            having = self._having.get(place, set())
            having.discard(number)
            if not having:
                self._having.pop(place, None)

    def fast_match(
        self, cluster_ids: Sequence[int], tokens: list[str], sim_th: float, include_params: bool
    ) -> LogCluster | None:
        """The best match, the oldest of equals; many half-matching groups lower the threshold."""
        near: set[int] = set()
        for place in _places(tokens):
            near.update(self._having.get(place, ()))
        best, fits, crowd = None, (0.0, 0), 0
        for number in sorted(near):
            cluster = self.id_to_cluster[number]
            found = self.get_seq_distance(cluster.log_template_tokens, tokens, include_params)
            crowd += found[0] > 0
            if found > fits or best is None:
                best, fits = cluster, found
        return best if fits[0] >= (sim_th if crowd < CROWD else OWN) else None

    def get_seq_distance(
        self, seq1: Sequence[str], seq2: Sequence[str], include_params: bool
    ) -> tuple[float, int]:
        """The share of matching places, and minus the number of open ones.

        At least half of the words must be the group's own: otherwise a group could open place by
        place until every line matches. Of equal matches Drain takes the one with the higher second
        number, here that with fewer open places, so that a line stays in its group.
        """
        equal = sum(map(eq, seq1, seq2))
        open_ = seq1.count(OPEN)
        if equal < OWN * len(seq1):
            return 0.0, -open_
        named = sum(a != b and _is_name(a) and _is_name(b) for a, b in zip(seq1, seq2, strict=True))
        return (equal + open_ + named) / len(seq1), -open_


def _places(pieces: Sequence[str]) -> Iterable[Place]:
    length = len(pieces)
    first = enumerate(pieces[: length // 2 + 1])
    return [(length, n, piece) for n, piece in first if piece != OPEN]
