"""Templates of log lines, learned while they come.

Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017; the package
drain3) finds the lines that may come from one statement: as many words, most of them equal. Where
such lines differ, Drain alone takes the word for a variable at once; that joins "link up" with "link
down". Here a place keeps its words until ``groups.ENOUGH`` different ones have been seen: fewer are a choice of
the program (up, down, unknown), more are values (names of users). The id of a template is the hash of
its text, and no text ever changes: an id is never given to something else, on no ship, after no
restart. A line gets another id when one of its words is found to be a value, once per such place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue, TypeAdapter

from anomaly_detection.templates.groups import OPEN, LineGroup, cut
from anomaly_detection.templates.masking import Words, phrases
from anomaly_detection.templates.tree import Tree

PART = 100  # groups that are written out at once
MEMO = 20_000  # lines without their numbers, of which the template is remembered


class LineTemplate(NamedTuple):
    id: str
    text: str


class Sighting(NamedTuple):
    """*group* is the id of all lines alike, and stays when one of their words proves to be a value:
    what counts lines counts by it. *new*: no line like it was known."""

    template: LineTemplate
    group: str
    new: bool


_GROUP = TypeAdapter(LineGroup)


def template_id(text: str) -> str:
    """16 hex digits of sha256: the same text has the same id everywhere."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Miner:
    """Learns at most *most* groups; the longest unused are forgotten, an eighth of them at once.

    Groups of a single line go first while they are more than a quarter: who makes up ever new lines pushes out
    only such.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._words = Words()
        self._memo: dict[str, tuple[Sighting, LineGroup]] = {}
        self._of_length: dict[int, list[str]] = {}  # keys of the memo, by number of pieces
        self._groups: dict[int, LineGroup] = {}
        self._tree: Tree | None = None  # made of the groups when it is needed
        self.lines = 0

    def learn(self, line: str) -> Sighting:
        """The template of *line*, and what is new about it."""
        self.lines += 1
        words = self._words.of(line)
        known = self._memo.get(words)
        if known is None:
            return self._study(words)
        sighting, group = known
        group.used = self.lines
        return sighting

    def parts(self) -> Iterator[dict[str, JsonValue]]:
        """What is known now by number of the group, the longest unused first, in small parts: copied
        at once, written out when it is taken."""
        by_use = sorted(self._groups.items(), key=lambda item: item[1].used)
        copies = [(number, group.copy()) for number, group in by_use]
        return (_written(copies[at : at + PART]) for at in range(0, len(copies), PART))

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError when *state* is of another kind."""
        for number, known in state.items():
            group = self._groups[int(number)] = _GROUP.validate_python(known)
            self.lines = max(self.lines, group.used)
        self._tree = None
        self._recall_nothing()

    def _study(self, words: str) -> Sighting:
        pieces = cut(phrases(words))
        try:
            group = self._place(pieces)
        except BaseException:  # the tree may know what the groups do not: it is made anew of them
            self._tree = None
            self._recall_nothing()
            raise
        text = group.text(pieces)
        known = Sighting(LineTemplate(template_id(text), text), group.id, new=False)
        told = known if group.used else known._replace(new=True)
        self._remember(words, len(pieces), (known, group))
        # Last: a group that nobody was told of is new.
        group.born, group.used = group.born or self.lines, self.lines
        return told

    def _place(self, pieces: list[str]) -> LineGroup:
        """The group of a line. A change of groups voids what is remembered of lines as long."""
        tree = self._tree = self._tree or _tree(self._groups)
        cluster, change = tree.add_log_message(" ".join(pieces))
        if change == "cluster_created":
            return self._begin(tree, cluster.cluster_id, pieces)
        group = self._groups[cluster.cluster_id]
        tokens = enumerate(cluster.log_template_tokens)
        proved = [group.note(place, pieces[place]) for place, token in tokens if token == OPEN]
        if change != "none" or any(proved):
            self._recall_none_of(len(pieces))
        return group

    def _begin(self, tree: Tree, number: int, pieces: list[str]) -> LineGroup:
        id_ = template_id("".join(pieces))
        group = self._groups[number] = LineGroup(pieces, id_)
        self._recall_none_of(len(pieces))
        if len(self._groups) > self._most:
            self._forget(tree)
        return group

    def _remember(self, words: str, length: int, known: tuple[Sighting, LineGroup]) -> None:
        if len(self._memo) >= MEMO:
            self._recall_nothing()
        self._memo[words] = known
        self._of_length.setdefault(length, []).append(words)

    def _recall_none_of(self, length: int) -> None:
        for words in self._of_length.pop(length, ()):
            del self._memo[words]

    def _recall_nothing(self) -> None:
        self._memo.clear()
        self._of_length.clear()

    def _forget(self, tree: Tree) -> None:
        oldest = sorted(self._groups, key=lambda number: self._groups[number].used or self.lines)
        single = [n for n in oldest if self._groups[n].used == self._groups[n].born]
        forgotten = single if len(single) > self._most // 4 else oldest
        for number in forgotten[: max(1, self._most // 8)]:
            pieces = self._groups.pop(number).pieces
            tree.forget(number, pieces)
        self._recall_nothing()


def _written(copies: Sequence[tuple[int, LineGroup]]) -> dict[str, JsonValue]:
    return {str(number): _GROUP.dump_python(group, mode="json") for number, group in copies}


def _tree(groups: Mapping[int, LineGroup]) -> Tree:
    """Drain as if it had seen the lines of *groups*; it prefers older groups to younger ones."""
    tree = Tree()
    for number in sorted(groups):
        tree.restore(number, groups[number].tokens())
    return tree
