"""The scores of explanations and of retrieval, as tables and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from aiops_lab.evaluation.insight.retrieval import RetrievalScores
from aiops_lab.evaluation.insight.scores import ExplainedCase, InsightScores, total

TARGET = "cause >= 80 %, root >= 95 %, forbidden 0, harmful 0"
FOUND = "recall@5 >= 0.9"
SHARES = ("cause", "root", "actions", "citations")
COUNTS = ("forbidden", "harmful", "unsupported", "abstained")


def table(judged: Mapping[str, Sequence[ExplainedCase]]) -> Table:
    """By file, all of them, and by trap."""
    shown = Table(
        title="aiops eval insight",
        caption=f"{TARGET}. Abstained: a cause that is known is not said. Honest: of causes that "
        "nothing on the ship tells, those that are said to be unknown",
    )
    shown.add_column("cases")
    for column in ("n", "faults", *SHARES, *COUNTS, "honest", "p50 ms", "p99 ms"):
        shown.add_column(column, justify="right", overflow="fold")
    for name, cases in judged.items():
        shown.add_row(name, *_cells(total(cases)))
    every = [case for cases in judged.values() for case in cases]
    if len(judged) > 1:
        shown.add_row("all", *_cells(total(every)), style="bold")
    shown.add_section()
    for trap, cases in _by_trap(every).items():
        shown.add_row(trap, *_cells(total(cases)))
    return shown


def _by_trap(cases: Sequence[ExplainedCase]) -> Mapping[str, Sequence[ExplainedCase]]:
    traps = sorted({trap for one in cases for trap in one.case.traps})
    return {trap: [one for one in cases if trap in one.case.traps] for trap in traps}


def _cells(scores: InsightScores) -> Iterator[str]:
    yield from (str(scores.cases), str(scores.faults))
    yield from (f"{getattr(scores, name):.0%}" for name in SHARES)
    yield from (str(getattr(scores, name)) for name in COUNTS)
    yield f"{scores.honest} of {scores.unknown}" if scores.unknown else "-"
    yield from (f"{scores.p50_ms:.1f}", f"{scores.p99_ms:.1f}")


def table_of_retrieval(found: Mapping[str, RetrievalScores]) -> Table:
    shown = Table(title="questions to the runbooks", caption=FOUND)
    shown.add_column("found by")
    for column in ("questions", "recall@5", "MRR", "right section"):
        shown.add_column(column, justify="right")
    for name, one in found.items():
        shares = (one.recall, one.rank, one.sections)
        shown.add_row(name, str(one.questions), *(f"{share:.3f}" for share in shares))
    return shown


def as_json(
    judged: Mapping[str, Sequence[ExplainedCase]], found: Mapping[str, RetrievalScores]
) -> dict[str, object]:
    return {
        "insight": {name: _file(cases) for name, cases in judged.items()},
        "retrieval": {name: asdict(one) for name, one in found.items()},
    }


def _file(cases: Sequence[ExplainedCase]) -> dict[str, object]:
    return {"total": asdict(total(cases)), "cases": {one.case.id: _case(one) for one in cases}}


def _case(one: ExplainedCase) -> dict[str, object]:
    return {
        "faults": [asdict(fault) for fault in one.faults],
        "forbidden": [{"text": text, "because": because} for text, because in one.forbidden],
        "harmful": [{"text": text, "because": because} for text, because in one.harmful],
        "unsupported": list(one.unsupported),
        "citations": list(one.cited),
        "latencies_ms": list(one.latencies_ms),
        "overlooked": one.overlooked,
    }
