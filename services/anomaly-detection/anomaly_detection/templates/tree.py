"""Drain (He et al., ICWS 2017; the package drain3) with another similarity, and an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import eq

from drain3.drain import Drain, LogCluster

from anomaly_detection.templates.groups import OPEN, is_name

ALIKE = 0.8  # of the words of two lines must be equal; with less, "x started" joins "y stopped"

OWN = 0.5  # of the words must be equal in any case
CROWD = 25  # groups that fit by half: one statement, of which more than a fifth are values

Place = tuple[int, int, str]  # number of pieces in a line, index of a piece, the piece


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
            near |= self._having.get(place, _NONE)
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
        named = sum(a != b and is_name(a) and is_name(b) for a, b in zip(seq1, seq2, strict=True))
        return (equal + open_ + named) / len(seq1), -open_


_NONE: frozenset[int] = frozenset()


def _places(pieces: Sequence[str]) -> Iterable[Place]:
    length = len(pieces)
    first = enumerate(pieces[: length // 2 + 1])
    return [(length, n, piece) for n, piece in first if piece != OPEN]
