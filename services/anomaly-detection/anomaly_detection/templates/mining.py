"""Online mining of log templates.

Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017; the
package drain3) groups lines of one statement: equal length, most words equal. Where such lines
differ, Drain alone takes the word for a variable at once; that joins "link up" with "link down".
Here a place keeps its words until ``groups.ENOUGH`` different ones are known: fewer are choices
(up, down, unknown), more are values (names of users).

The id of a template is the hash of its text. So an id means the same on every ship and after every
restart. A line gets another id once for each of its words that proves to be a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue, TypeAdapter

from anomaly_detection.templates.groups import OPEN, LineGroup, Tree, cut
from anomaly_detection.templates.masking import Words, phrases

PART = 100  # groups that are written in one go
MEMO = 20_000  # masked lines in the cache


class Sighting(NamedTuple):
    """The template of a line. *group* is the stable id of its group; *new*: the group is new.

    Counts are kept by group: it stays when a word proves to be a value.
    """

    template_id: str
    template: str
    group: str
    new: bool


_GROUP = TypeAdapter(LineGroup)


def template_id(text: str) -> str:
    """16 hex digits of sha256: the same text has the same id everywhere."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Miner:
    """At most *most* groups; an eighth of them, least recently used, is evicted at once.

    Groups of a single line go first while they are more than a quarter: ever new lines evict each
    other.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._words = Words()
        self._memo: dict[str, tuple[Sighting, LineGroup]] = {}
        self._of_length: dict[int, list[str]] = {}  # keys of the memo, by number of pieces
        self._groups: dict[int, LineGroup] = {}
        self._tree: Tree | None = None  # rebuilt from the groups on demand
        self.lines = 0

    def learn(self, line: str) -> Sighting:
        """Add *line*."""
        self.lines += 1
        words = self._words.of(line)
        known = self._memo.get(words)
        if known is None:
            return self._study(words)
        sighting, group = known
        group.used = self.lines
        return sighting

    def parts(self) -> Iterator[dict[str, JsonValue]]:
        """The groups at this call, least recently used first: copied now, written when taken."""
        by_use = sorted(self._groups.items(), key=lambda item: item[1].used)
        copies = [(number, group.copy()) for number, group in by_use]
        return (_written(copies[at : at + PART]) for at in range(0, len(copies), PART))

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for number, known in state.items():
            group = self._groups[int(number)] = _GROUP.validate_python(known)
            self.lines = max(self.lines, group.used)
        self._tree = None
        self._clear_cache()

    def _study(self, words: str) -> Sighting:
        pieces = cut(phrases(words))
        try:
            group = self._place(pieces)
        except BaseException:  # tree and groups may differ: the tree is rebuilt
            self._tree = None
            self._clear_cache()
            raise
        text = group.text(pieces)
        known = Sighting(template_id(text), text, group.id, new=False)
        sighting = known if group.used else known._replace(new=True)
        self._remember(words, len(pieces), (known, group))
        # Last: until then the group is new.
        group.born, group.used = group.born or self.lines, self.lines
        return sighting

    def _place(self, pieces: list[str]) -> LineGroup:
        """The group of a line. A change of a group invalidates the cache of lines as long."""
        tree = self._tree = self._tree or _tree(self._groups)
        cluster, change = tree.add_log_message(" ".join(pieces))
        if change == "cluster_created":
            return self._begin(tree, cluster.cluster_id, pieces)
        group = self._groups[cluster.cluster_id]
        tokens = enumerate(cluster.log_template_tokens)
        proved = [group.note(place, pieces[place]) for place, token in tokens if token == OPEN]
        if change != "none" or any(proved):
            self._invalidate(len(pieces))
        return group

    def _begin(self, tree: Tree, number: int, pieces: list[str]) -> LineGroup:
        id_ = template_id("".join(pieces))
        group = self._groups[number] = LineGroup(pieces, id_)
        self._invalidate(len(pieces))
        if len(self._groups) > self._most:
            self._evict(tree)
        return group

    def _remember(self, words: str, length: int, known: tuple[Sighting, LineGroup]) -> None:
        if len(self._memo) >= MEMO:
            self._clear_cache()
        self._memo[words] = known
        self._of_length.setdefault(length, []).append(words)

    def _invalidate(self, length: int) -> None:
        for words in self._of_length.pop(length, ()):
            del self._memo[words]

    def _clear_cache(self) -> None:
        self._memo.clear()
        self._of_length.clear()

    def _evict(self, tree: Tree) -> None:
        oldest = sorted(self._groups, key=lambda number: self._groups[number].used or self.lines)
        single = [n for n in oldest if self._groups[n].used == self._groups[n].born]
        evicted = single if len(single) > self._most // 4 else oldest
        for number in evicted[: max(1, self._most // 8)]:
            pieces = self._groups.pop(number).pieces
            tree.forget(number, pieces)
        self._clear_cache()


def _written(copies: Sequence[tuple[int, LineGroup]]) -> dict[str, JsonValue]:
    return {str(number): _GROUP.dump_python(group, mode="json") for number, group in copies}


def _tree(groups: Mapping[int, LineGroup]) -> Tree:
    """Drain with *groups*, in the order of their creation: it prefers older ones."""
    tree = Tree()
    for number in sorted(groups):
        tree.restore(number, groups[number].tokens())
    return tree
