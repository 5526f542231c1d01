"""All passages that can be found, in memory: what the vectors are made from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llm_enricher.retrieval.lexical import LexicalIndex
from llm_enricher.retrieval.markdown import Runbook
from llm_enricher.retrieval.passage import Kind, Passage

KINDS: tuple[Kind, ...] = ("runbook", "incident")


class Corpus:
    """*version* of each kind counts its changes. At most *incidents_kept* incidents, the newest."""

    def __init__(self, incidents_kept: int) -> None:
        self._kept = incidents_kept
        self._indexes: Mapping[Kind, LexicalIndex] = {kind: LexicalIndex() for kind in KINDS}
        self.version: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.runbooks: Mapping[str, Runbook] = {}

    def index(self, kind: Kind) -> LexicalIndex:
        return self._indexes[kind]

    def passages(self, kind: Kind) -> Mapping[str, Passage]:
        return self._indexes[kind].passages

    def put(self, passages: Iterable[Passage]) -> None:
        """Add them, or replace those of their ids by another content."""
        for one in passages:
            if self.passages(one.kind).get(one.id) != one:
                self._indexes[one.kind].put(one)
                self.version[one.kind] += 1
        self._forget_oldest()

    def drop(self, kind: Kind, ids: Iterable[str]) -> None:
        for id in ids:
            if id in self.passages(kind):
                self._indexes[kind].drop(id)
                self.version[kind] += 1

    def set_runbooks(self, runbooks: Mapping[str, Runbook]) -> None:
        """From now on there are these and no others."""
        new = {p.id: p for runbook in runbooks.values() for p in runbook.passages}
        self.drop("runbook", [id for id in self.passages("runbook") if id not in new])
        self.put(new.values())
        self.runbooks = runbooks

    def _forget_oldest(self) -> None:
        known = self.passages("incident")
        if (more := len(known) - self._kept) > 0:
            oldest = sorted(known, key=lambda id: known[id].order)[:more]
            self.drop("incident", oldest)
