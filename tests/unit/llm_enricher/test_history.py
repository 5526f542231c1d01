"""What an answer by rules adds from the past."""

from __future__ import annotations

from aiops_core.models import Citation, LlmInsights, Recurrence
from llm_enricher.answering.history import DOCUMENTS_NAMED, with_history
from llm_enricher.question import Document, Question
from tests.incident_cases import created

RULES = LlmInsights(root_cause="x", source="rules", narrative="So.", recommendations=("Look.",))


def found(n: int, kind: str = "runbook", **fields) -> Document:
    given = {"kind": kind, "id": f"{kind}-{n}", "title": f"Title {n}", "text": "t"}
    return Document.model_validate(given | {"score": n / 10} | fields)


def said(*documents: Document, recurrence=None, insights=RULES) -> LlmInsights:
    incident = created(recurrence=recurrence)
    return with_history(insights, Question(incident=incident, documents=documents))


def test_without_a_past_nothing_is_added():
    first = Recurrence(problem_id="p", occurrence=1)
    assert said() == said(recurrence=first) == RULES


def test_the_best_documents_are_named_and_cited():
    runbooks = [found(n) for n in range(5)]
    told = said(*runbooks)
    best = [f"runbook-{n}" for n in (4, 3)]
    assert [one.id for one in told.citations] == best
    assert len(told.recommendations) == 1 + DOCUMENTS_NAMED


def test_how_another_incident_ended_is_told_and_not_recommended():
    solved = found(1, "incident", resolution="restarted the core switch.")
    unknown = found(9, "incident")
    told = said(solved, unknown)
    assert told.narrative == "So. “Title 1” looked alike, and ended so: restarted the core switch."
    assert told.recommendations == RULES.recommendations
    assert [one.id for one in told.citations] == ["incident-1"]


def test_how_often_it_came_and_what_ended_it_is_told():
    often = Recurrence(problem_id="p", occurrence=4, cadence="daily", resolved_before="recovered")
    expected = "So. It is occurrence 4 of the same problem, daily. The one before ended: recovered."
    assert said(recurrence=often).narrative == expected


def test_what_the_rules_cite_already_is_not_said_again():
    cites = RULES.model_copy(update={"citations": (Citation(kind="runbook", id="runbook-1"),)})
    assert said(found(1), insights=cites) == cites
