"""Runbooks found by their words alone (BM25): what a better search is compared with. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from llm_enricher.question import Document

WORD = re.compile(r"[a-z0-9]+")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
K, B = 1.2, 0.75  # as everywhere


class WordFinder:
    """*runbooks*: the text of each by its name."""

    def __init__(self, runbooks: Mapping[str, str]) -> None:
        self._documents = [one for name, text in runbooks.items() for one in _passages(name, text)]
        self._words = [
            Counter(WORD.findall(f"{d.title} {d.text}".lower())) for d in self._documents
        ]
        self._usual = sum(map(Counter.total, self._words)) / max(len(self._words), 1)
        self._having = Counter(word for words in self._words for word in words)

    def find(self, words: str) -> Sequence[Document]:
        asked = set(WORD.findall(words.lower()))
        scores = [self._score(asked, found) for found in self._words]
        best = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
        most = max(scores, default=0.0) or 1.0
        return [self._documents[n].but(score=scores[n] / most) for n in best if scores[n] > 0]

    def _score(self, asked: set[str], found: Counter[str]) -> float:
        length = K * (1 - B + B * found.total() / self._usual)
        return sum(
            self._rarity(word) * found[word] * (K + 1) / (found[word] + length)
            for word in asked & found.keys()
        )

    def _rarity(self, word: str) -> float:
        having = self._having[word]
        return math.log(1 + (len(self._words) - having + 0.5) / (having + 0.5))


def _passages(name: str, text: str) -> Iterator[Document]:
    """One for each section below the title."""
    title, *parts = HEADING.split(text)
    for heading, section in zip(parts[::2], parts[1::2], strict=True):
        yield Document(
            kind="runbook",
            id=f"{name}#{heading.lower().replace(' ', '-')}",
            title=f"{title.splitlines()[0].lstrip('# ')}: {heading}",
            text=section.strip(),
            score=0.0,
            lexical=True,
        )
