"""All problems, found by signature and by incident; which of them have changed. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from correlation_service.problem import MERGED, WAITING, KnownProblem
from correlation_service.spreads import Spreads

PROBLEMS_KEPT = 5000  # least recently seen go first; up to 10 KB each
WAITING_KEPT = 4000  # chronic problems whose incident is open without an alert


class ProblemTable:
    """*absorbed* problems are part of another one; *waiting* are the longest waiting first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, KnownProblem] = OrderedDict()  # least recently seen first
        self._by_signature: dict[str, str] = {}
        self._of_incident: dict[str, str] = {}  # newest incident of a problem -> problem
        self.absorbed: dict[str, str] = {}
        self.spreads = Spreads()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._marks: dict[str, int] = {}
        self._changes = 0

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[KnownProblem]:
        return iter(self._known.values())

    def get(self, problem_id: str | None) -> KnownProblem | None:
        return self._known.get(problem_id or "")

    def of_incident(self, incident_id: str) -> KnownProblem | None:
        """The problem whose newest occurrence is that incident."""
        return self.get(self._of_incident.get(incident_id))

    def with_signature(self, signature: str) -> KnownProblem | None:
        return self.get(self._by_signature.get(signature))

    @property
    def waiting(self) -> list[KnownProblem]:
        return [self._known[problem_id] for problem_id in self._waiting]

    @property
    def marks(self) -> Mapping[str, int]:
        """By problem, a number that is another one after each change."""
        return self._marks

    # -- changing ---------------------------------------------------------------------------------

    def put(self, problem: KnownProblem) -> None:
        if known := self._known.get(problem.id):
            self._unfile(known)
        self._known[problem.id] = problem
        self._known.move_to_end(problem.id)
        for signature in problem.signatures:
            self._by_signature.setdefault(signature, problem.id)
        if problem.ending != MERGED:
            self._of_incident[problem.incident] = problem.id
        if problem.ending == WAITING:
            self._waiting[problem.id] = None
        self.absorbed |= dict.fromkeys(problem.absorbed, problem.id)
        self.spreads.file(problem)
        self._changes += 1
        self._marks[problem.id] = self._changes
        self._evict()

    def forget(self, problem: KnownProblem) -> None:
        self._unfile(problem)
        del self._known[problem.id], self._marks[problem.id]

    def _unfile(self, problem: KnownProblem) -> None:
        for index, keys in (
            (self._by_signature, problem.signatures),
            (self._of_incident, (problem.incident,)),
            (self.absorbed, problem.absorbed),
        ):
            for key in keys:
                if index.get(key) == problem.id:
                    del index[key]
        self._waiting.pop(problem.id, None)
        self.spreads.unfile(problem)

    def _evict(self) -> None:
        """The least recently seen goes, but for those that wait: their incident is open."""
        for _ in range(len(self._waiting)):
            if len(self._known) <= PROBLEMS_KEPT or next(iter(self._known)) not in self._waiting:
                break
            self._known.move_to_end(next(iter(self._known)))
        if len(self._known) > PROBLEMS_KEPT:
            self.forget(next(iter(self._known.values())))
