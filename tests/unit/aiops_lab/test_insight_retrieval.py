"""Questions to the runbooks: they ask for what is there, in other words than its title."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from aiops_lab.evaluation.insight import cases
from aiops_lab.evaluation.insight.retrieval import (
    RunbookQuestion,
    judge_retrieval,
    load_questions,
    of_incident,
)
from aiops_lab.evaluation.insight.way import play
from aiops_lab.evaluation.insight.words import WordFinder
from aiops_lab.evaluation.signal.replay import JudgingPolicies
from llm_enricher.question import Document

RUNBOOKS = Path(__file__).resolve().parents[3] / "policies/runbooks"
QUESTIONS = load_questions()


def sections() -> set[str]:
    return {
        f"{path.stem}#{heading.lower().replace(' ', '-')}"
        for path in RUNBOOKS.glob("*.md")
        for heading in re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_there_are_enough_of_them_and_of_every_runbook():
    assert len(QUESTIONS) >= 60
    assert {one for q in QUESTIONS for one in q.runbooks} == {p.stem for p in RUNBOOKS.glob("*.md")}
    assert len({q.ask for q in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.ask)
def test_the_answer_exists_and_its_title_is_not_in_the_question(question):
    assert set(question.right) <= sections()
    asked = set(re.findall(r"[a-z]+", question.ask.lower()))
    titles = {word for name in question.runbooks for word in name.split("-")} - {"l"}
    assert not asked & titles


def test_the_runbooks_of_the_cases_exist():
    named = {
        name
        for file in (cases.COMMITTED, cases.HELD_OUT)
        for c in cases.load(file)
        for name in c.runbooks
    }
    assert named == {path.stem for path in RUNBOOKS.glob("*.md")}


class Found:
    def __init__(self, ids: Mapping[str, Sequence[str]]) -> None:
        self._ids = ids

    def find(self, words: str) -> Sequence[Document]:
        return [
            Document(kind="runbook", id=id, title=id, text="", score=1.0) for id in self._ids[words]
        ]


def test_an_incident_asks_with_its_title_and_what_its_lines_say():
    case = cases.load()[0]
    played = play(case, JudgingPolicies.load(RUNBOOKS.parent))
    asked = of_incident(played.of_fault[0].incident, case.runbooks)
    assert asked.runbooks == {"satellite-link"}
    assert set(asked.right) <= sections()
    assert "Es/No 3.1 dB below threshold" in asked.ask


def test_words_find_the_passage_that_has_them_most_and_nothing_for_strange_ones():
    finder = WordFinder({path.stem: path.read_text() for path in RUNBOOKS.glob("*.md")})
    found = finder.find("kill -9 of a server process")
    assert found[0].id == "database#do-not"
    assert found[0].score == 1
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert finder.find("qwertz") == []


def test_recall_counts_the_first_five_and_the_rank_is_of_the_first_right_one():
    asked = [
        RunbookQuestion(ask=ask, right=right)
        for ask, right in [("a", ("dns#fix",)), ("b", ("ups#checks",)), ("c", ("raid#fix",))]
    ]
    found = {
        "a": ["dns#fix-2"],
        "b": ["dns#fix", "ups#fix"],
        "c": [*["dns#fix"] * 5, "raid#fix"],
    }
    scores = judge_retrieval(Found(found), asked)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.rank == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert scores.sections == pytest.approx(1 / 3)
    assert list(scores.missed) == ["c"]
