"""What an answer by rules adds from the past."""

from __future__ import annotations

from aiops_core.models import Citation, LlmInsights, Recurrence
from llm_enricher.answering.history import with_history
from llm_enricher.answering.policy import RunbookPolicy
from llm_enricher.question import Document, Question
from llm_enricher.rules.harm import HarmfulAdvice
from tests.incident_cases import created

RULES = LlmInsights(root_cause="x", source="rules", narrative="So.", recommendations=("Look.",))

POLICY = RunbookPolicy(similarity=0.45, words=0.5)


def found(n: int, kind: str = "runbook", **fields) -> Document:
    given = {"kind": kind, "id": f"{kind}-{n}", "title": f"Title {n}", "text": "t"}
    return Document.model_validate(given | {"score": n / 10} | fields)


def said(*documents: Document, recurrence=None, insights=RULES, forbidden=()) -> LlmInsights:
    incident = created(recurrence=recurrence)
    return with_history(
        insights, Question(incident=incident, documents=documents), POLICY, forbidden
    )


def test_without_a_past_nothing_is_added():
    first = Recurrence(problem_id="p", occurrence=1)
    assert said() == said(recurrence=first) == RULES


def test_the_first_runbook_is_named_by_its_own_title_and_cited():
    told = said(found(5, title="Ports — Do not"), found(9), found(7, lexical=True))
    assert [one.id for one in told.citations] == ["runbook-5"]
    assert told.recommendations == ("Look.", "Follow the runbook “Ports”.")


def test_the_first_runbook_is_not_named_unless_it_is_surely_about_this():
    assert said(found(4), found(9)) == RULES
    assert said(found(4.9, lexical=True)) == RULES
    assert said(found(5, lexical=True)).recommendations[-1] == "Follow the runbook “Title 5”."


def test_a_runbook_that_does_harm_here_is_not_recommended():
    harm = HarmfulAdvice(never="runbook .failover", because="it ends all sessions")
    told = said(found(9, title="Failover — Fix"), forbidden=(harm,))
    assert told.recommendations == RULES.recommendations


def test_resolved_incidents_keep_their_order():
    solved = [found(n, "incident", resolution="x") for n in (3, 9, 5)]
    assert [one.id for one in said(*solved).citations] == ["incident-3", "incident-9"]


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
    assert said(found(9, id="runbook-1"), insights=cites) == cites
