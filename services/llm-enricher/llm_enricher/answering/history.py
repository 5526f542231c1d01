"""What an answer by rules adds from the past: how often the problem came, what ended one like it,
and which runbook there is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from aiops_core.models import Citation, LlmInsights, Recurrence
from llm_enricher.answering.policy import RunbookPolicy
from llm_enricher.question import Document, Question
from llm_enricher.rules.harm import HarmfulAdvice, harmless

INCIDENTS_NAMED = 2


def with_history(
    insights: LlmInsights,
    question: Question,
    policy: RunbookPolicy,
    forbidden: Sequence[HarmfulAdvice] = (),
) -> LlmInsights:
    """*insights* with it; what they say or cite already is not said again.

    What ended another incident is told, not recommended: here it may be wrong.
    """
    known = {(one.kind, one.id) for one in insights.citations}
    new = [one for one in named(question, policy) if (one.kind, one.id) not in known]
    told = [*_past(question.incident.recurrence), *(_ended(one) for one in new if one.resolution)]
    advice = [f"Follow the runbook “{one.whole_title}”." for one in new if one.kind == "runbook"]
    said = insights.recommendations
    return insights.model_copy(
        update={
            "narrative": " ".join(filter(None, (insights.narrative, *dict.fromkeys(told)))),
            "recommendations": tuple(dict.fromkeys((*said, *harmless(advice, forbidden)))),
            "citations": (
                *insights.citations,
                *(Citation(kind=one.kind, id=one.id) for one in new),
            ),
        }
    )


def named(question: Question, policy: RunbookPolicy) -> Iterator[Document]:
    """The first resolved incidents of which is known what ended them, and the first runbook if it
    is surely about this. Documents come best first; their scores are not of one kind."""
    solved = (one for one in question.documents if one.kind == "incident" and one.resolution)
    yield from islice(solved, INCIDENTS_NAMED)
    runbook = next((one for one in question.documents if one.kind == "runbook"), None)
    if runbook and runbook.score >= (policy.words if runbook.lexical else policy.similarity):
        yield runbook


def _ended(document: Document) -> str:
    return f"“{document.title}” looked alike, and ended so: {document.resolution.rstrip('.')}."


def _past(recurrence: Recurrence | None) -> Iterator[str]:
    if recurrence and recurrence.occurrence > 1:
        often = f", {recurrence.cadence}" if recurrence.cadence else ""
        yield f"It is occurrence {recurrence.occurrence} of the same problem{often}."
        if recurrence.resolved_before:
            yield f"The one before ended: {recurrence.resolved_before.rstrip('.')}."
