"""Pure: whether an incident is open, by the facts that open and close it, in any order of arrival.

A fact of correlation-service has its place by its revision; what a person decides stands behind
the newest revision that was known then. So a fact that comes late changes the status only when no
later one has decided it:

| status before | cleared | reopened by correlation | ack | resolved by a person | reopened by one |
|---|---|---|---|---|---|
| open | resolved | open | ack | resolved | open |
| ack | resolved | open: told anew | ack | resolved | ack |
| resolved | resolved, by what closed it first | open | resolved | resolved | open |
| resolved by a merge | resolved | resolved: it goes on in the other | resolved | resolved | open |
| suppressed | suppressed | suppressed | suppressed | suppressed | open |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

from aiops_core.models import Record, Status

TURNS_KEPT = 64  # newest; what came before them is settled
MERGED = "merged"  # first word of the reason of a merge

TurnKind = Literal["clear", "return", "ack", "resolve", "reopen"]
CHANGES: dict[TurnKind, tuple[frozenset[Status], Status]] = {
    "clear": (frozenset({Status.OPEN, Status.ACK}), Status.RESOLVED),
    "return": (frozenset({Status.RESOLVED, Status.ACK}), Status.OPEN),
    "ack": (frozenset({Status.OPEN}), Status.ACK),
    "resolve": (frozenset({Status.OPEN, Status.ACK}), Status.RESOLVED),
    "reopen": (frozenset({Status.RESOLVED, Status.SUPPRESSED}), Status.OPEN),
}


class Turn(Record):
    """A fact that opens or closes an incident. *change* is 0 for one of correlation-service."""

    revision: int
    change: int = 0
    kind: TurnKind
    reason: str | None = None

    @property
    def place(self) -> tuple[int, int]:
        return self.revision, self.change


class StatusNow(Record):
    status: Status = Status.OPEN
    resolve_reason: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in (Status.OPEN, Status.ACK)

    @property
    def is_merged(self) -> bool:
        return (self.resolve_reason or "").startswith(MERGED)

    def after(self, turn: Turn) -> StatusNow:
        before, status = CHANGES[turn.kind]
        if self.status not in before or (turn.kind == "return" and self.is_merged):
            return self
        return StatusNow(status=status, resolve_reason=turn.reason)


class Turns(Record):
    """*settled* is what *recent*, in order of their places, start from."""

    settled: StatusNow
    recent: tuple[Turn, ...] = ()

    @property
    def standing(self) -> StatusNow:
        return reduce(StatusNow.after, self.recent, self.settled)

    def having(self, turn: Turn) -> Turns:
        turns: Sequence[Turn] = sorted((*self.recent, turn), key=lambda one: one.place)
        old, recent = turns[:-TURNS_KEPT], turns[-TURNS_KEPT:]
        settled = reduce(StatusNow.after, old, self.settled)
        return Turns(settled=settled, recent=tuple(recent))
