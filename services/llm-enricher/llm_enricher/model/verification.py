"""What of a model's answer is believed: only what the facts of its question bear out. Pure.

Sentence by sentence: what fails is dropped, with its reason. Severity is never read from an answer,
ids that do not exist cite nothing, and an answer that keeps no cause or no proof is none at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from aiops_core.models import Citation
from llm_enricher.model.answer import UNKNOWN, ModelAnswer
from llm_enricher.model.briefing import Briefing, Fact, harmful
from llm_enricher.model.policy import ConfidenceTable, VerificationRules
from llm_enricher.model.words import Vocabulary, names, numbers, sentences, stems

Dropping = Literal[
    "citation",  # an id that does not exist
    "action",  # one that nobody offers
    "number",  # one that no fact has
    "name",
    "denial",  # that nothing is wrong
    "advice",  # outside of what is offered
    "forbidden",  # it is harmful by policy
    "harmful",  # it is harmful by a document of the question
    "ruled_out",  # it blames what was checked and is fine
    "ungrounded",  # a cause that has nothing to do with the evidence it cites
    "repeated",  # what the question said already
    "abstained",  # the model itself knows no cause
]
T = TypeVar("T")

SHARED: Final = 2  # words that a cause without a name has in common with what it cites


@dataclass(frozen=True, slots=True)
class Verified:
    """What is left of an answer; words for what is personal are still in it."""

    root_cause: str
    impact: str
    narrative: str
    recommendations: tuple[str, ...]
    citations: tuple[Citation, ...]
    confidence: float


@dataclass(frozen=True)
class Verification:
    """*left* is None when too little is left. *dropped* has a reason for each thing dropped."""

    left: Verified | None
    dropped: tuple[Dropping, ...] = ()


def verify(
    answer: ModelAnswer,
    briefing: Briefing,
    rules: VerificationRules,
    confidence: ConfidenceTable,
) -> Verification:
    check = _Check(briefing, rules)
    cited = check.cited(answer.citations)
    proven = any(fact.proves for fact in cited)
    cause = check.cause(answer.root_cause, cited)
    impact = check.believed(answer.impact, said=cause)
    narrative = check.believed(answer.narrative, said=cause)
    chosen = check.chosen(answer.recommendations)
    if not cause or not proven:
        return Verification(None, tuple(check.dropped))
    left = Verified(
        root_cause=cause,
        impact=impact,
        narrative=narrative,
        recommendations=chosen,
        citations=tuple(fact.citation for fact in cited),
        confidence=_confidence(answer, cited, check.dropped, confidence),
    )
    return Verification(left, tuple(check.dropped))


def _confidence(
    answer: ModelAnswer, cited: Sequence[Fact], dropped: Sequence[Dropping], table: ConfidenceTable
) -> float:
    documented = any(fact.citation.kind != "evidence" for fact in cited)
    whole = table.documented if documented else table.complete
    lost = [reason for reason in dropped if reason != "repeated"]
    found = table.reduced if lost else whole
    return min(found, table.unsure) if answer.confidence == "low" else found


@dataclass
class _Check:
    """*dropped* grows with every part that fails."""

    briefing: Briefing
    rules: VerificationRules
    dropped: list[Dropping] = field(default_factory=list)

    def __post_init__(self) -> None:
        facts = [fact.text for fact in self.briefing.facts] + [self.briefing.head]
        self._quotable = Vocabulary([*facts, *self.briefing.known], self.rules.general_words)
        self._numbers = set[str]().union(*map(numbers, facts))

    def cited(self, ids: Iterable[str]) -> list[Fact]:
        facts = {fact.id: fact for fact in self.briefing.facts}
        return self._existing(ids, facts, "citation")

    def chosen(self, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._existing(ids, self.briefing.offers, "action"))

    def _existing(self, ids: Iterable[str], known: Mapping[str, T], reason: Dropping) -> list[T]:
        given = list(dict.fromkeys(ids))
        self.dropped += [reason for id in given if id not in known]
        return [known[id] for id in given if id in known]

    def cause(self, text: str, cited: Sequence[Fact]) -> str:
        if text.strip(" .").casefold() in ("", UNKNOWN):
            self.dropped.append("abstained")
            return ""
        cause = self.believed(text)
        if cause and self._blames_what_is_fine(cause):
            self.dropped.append("ruled_out")
            return ""
        if cause and not self._grounded(cause, cited):
            self.dropped.append("ungrounded")
            return ""
        return cause

    def believed(self, text: str, said: str = "") -> str:
        """The sentences of *text* that no check refuses, and that *said* does not have."""
        kept = []
        for sentence in sentences(text):
            if reason := self._refused(sentence, f"{self.briefing.head} {said}"):
                self.dropped.append(reason)
            else:
                kept.append(sentence)
        return " ".join(kept)

    def _refused(self, sentence: str, said: str) -> Dropping | None:
        if self.rules.denies(sentence):
            return "denial"
        if self.rules.forbids(sentence):
            return "forbidden"
        if harmful(sentence, self.briefing.harms):
            return "harmful"
        if self._advises(sentence):
            return "advice"
        if sentence.strip(" .").casefold() in said.casefold():
            return "repeated"
        if any(not self._quotable.knows(name) for name in names(sentence)):
            return "name"
        if numbers(sentence) - self._numbers:
            return "number"
        return None

    def _advises(self, sentence: str) -> bool:
        """It tells somebody what to do, or repeats what is offered."""
        parts = sentence.split(" - ")
        offered = (text.rstrip(".").casefold() for text in self.briefing.offers.values())
        lower = sentence.casefold()
        return any(map(self.rules.advises, parts)) or any(text in lower for text in offered)

    def _blames_what_is_fine(self, cause: str) -> bool:
        """The devices that it names are only known to be fine."""
        words = Vocabulary([cause])
        facts = [fact for fact in self.briefing.facts if fact.device and words.knows(fact.device)]
        return bool(facts) and all(fact.fine for fact in facts)

    def _grounded(self, cause: str, cited: Sequence[Fact]) -> bool:
        """It names a device of the evidence that it cites, or speaks of the same; and it is not
        made of actions that are offered."""
        words, evidence = Vocabulary([cause]), [fact for fact in cited if fact.proves]
        said, shown = stems(cause), set[str]().union(*(stems(fact.text) for fact in evidence))
        borrowed = (said & set[str]().union(*map(stems, self.briefing.offers.values()))) - shown
        if len(borrowed) > len(said & shown):
            return False
        named = any(fact.device and words.knows(fact.device) for fact in evidence)
        return named or len(said & shown) >= SHARED
