"""``policies/llm.yaml``: how explanations are made. Each piece of the service has a section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import PrivateAttr

from aiops_core.policy.file import Policy, Replay
from llm_enricher.answering.policy import AnsweringPolicy
from llm_enricher.evidence.policy import EvidencePolicy
from llm_enricher.model.policy import ModelPolicy
from llm_enricher.retrieval.policy import RetrievalPolicy
from llm_enricher.rules.packs import InsightPacks, load_insight_packs
from llm_enricher.rules.policy import RulesPolicy


class LlmPolicy(Policy):
    file: ClassVar[str] = "llm.yaml"

    rules: RulesPolicy
    evidence: EvidencePolicy
    model: ModelPolicy
    retrieval: RetrievalPolicy
    answering: AnsweringPolicy = AnsweringPolicy()
    _packs: InsightPacks = PrivateAttr(InsightPacks())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """With the packs of explanations; one with a mistake is left out (``packs.left_out``)."""
        policy = super().load(folder)
        policy._packs = load_insight_packs(folder)
        return policy

    @property
    def packs(self) -> InsightPacks:
        return self._packs

    def replays(self) -> Sequence[Replay]:
        return [Replay("incidents", self.answering.memory, "answering.memory")]
