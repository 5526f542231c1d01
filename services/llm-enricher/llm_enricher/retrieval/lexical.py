"""Ranking of passages by their words: BM25. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from llm_enricher.retrieval.passage import Passage
from llm_enricher.retrieval.terms import terms

# The usual values. A term that is repeated counts more, but ever less so; long texts count less.
SATURATION, LENGTH = 1.2, 0.75
TITLE_WEIGHT = 2  # a word of the title counts as this many of the text
ASKED_MOST = 16  # rarest words of a question; the others hardly change the order


class LexicalHit(NamedTuple):
    """*covered*: the part of the question's words, by weight, that the passage has."""

    passage: Passage
    covered: float


class LexicalIndex:
    """The passages of one collection, by id."""

    def __init__(self) -> None:
        self.passages: dict[str, Passage] = {}
        self._lengths: dict[str, int] = {}
        self._postings: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._total = 0

    def put(self, passage: Passage) -> None:
        """Add *passage*, or replace the one of its id."""
        self.drop(passage.id)
        counts = Counter(terms(passage.whole))
        counts.update({term: TITLE_WEIGHT - 1 for term in terms(passage.title)})
        for term, count in counts.items():
            self._postings[term][passage.id] = count
        self.passages[passage.id] = passage
        self._lengths[passage.id] = length = counts.total()
        self._total += length

    def drop(self, id: str) -> None:
        """Without effect when it is unknown."""
        passage = self.passages.pop(id, None)
        if passage is None:
            return
        self._total -= self._lengths.pop(id)
        for term in {*terms(passage.whole), *terms(passage.title)}:
            self._postings[term].pop(id, None)
            if not self._postings[term]:
                del self._postings[term]

    def search(self, text: str, limit: int, accept: Callable[[Passage], bool]) -> list[LexicalHit]:
        """Those that share words with *text*, best first."""
        weights = self._weights(text)
        asked = sum(weights.values())
        scores: defaultdict[str, float] = defaultdict(float)
        mean = self._total / max(len(self.passages), 1)
        for term, weight in weights.items():
            for id, count in self._postings.get(term, {}).items():
                norm = SATURATION * (1 - LENGTH + LENGTH * self._lengths[id] / mean)
                scores[id] += weight * count * (SATURATION + 1) / (count + norm)
        ranked = sorted(scores.items(), key=itemgetter(1), reverse=True)
        accepted = (self.passages[id] for id, _ in ranked if accept(self.passages[id]))
        return [
            LexicalHit(one, self._covered(one.id, weights) / asked)
            for one in islice(accepted, limit)
        ]

    def _covered(self, id: str, weights: Mapping[str, float]) -> float:
        return sum(w for term, w in weights.items() if id in self._postings.get(term, ()))

    def _weights(self, text: str) -> dict[str, float]:
        """The words of *text* with their weights (inverse document frequency), rarest first."""
        number = len(self.passages)
        weighed = {
            term: math.log1p((number - known + 0.5) / (known + 0.5))
            for term in terms(text)
            for known in [len(self._postings.get(term, ()))]
        }
        rarest = sorted(weighed.items(), key=lambda item: (item[0] not in self._postings, -item[1]))
        return dict(rarest[:ASKED_MOST])
