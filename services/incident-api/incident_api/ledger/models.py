"""The answer of ``/api/v3/ledger``, and the balance of a span. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, Field, computed_field

from aiops_core.models import FAST_PATH, Stages, UtcDatetime
from incident_api.rows import DIGESTED, SUPPRESSED


class Balance(BaseModel):
    """``detected`` is the sum of the next seven. ``unaccounted`` and ``doubled`` must be 0."""

    detected: int = Field(description="Anomalies that are known of in the span.", examples=[1234])
    members: int = Field(description="First of their kind in an incident.")
    duplicates: int = Field(description="Repetitions of a member.")
    suppressed: int = Field(description="Hidden by a rule that is named.")
    digested: int = Field(
        default=0, description="Not worth an incident by themselves; `aiops digest` lists them."
    )
    dead_letters: int = Field(description="Could not be handled; `aiops dead list` says why.")
    in_flight: int = Field(description="Younger than `settled_after_s`, or still waiting.")
    unaccounted: int = Field(description="Lost: in none of the places above.", examples=[0])
    unread: int = Field(
        default=0,
        description="Of the unaccounted, those that detection published and nobody has read:"
        " a stream discarded them. Counted over whole minutes that have settled.",
    )
    doubled: int = Field(description="Counted in two places at once.", examples=[0])

    @property
    def holds(self) -> bool:
        return self.unaccounted == 0 and self.doubled == 0


class OpenAnomaly(BaseModel):
    """An anomaly without an end; its stages are at ``/api/v3/trace/{tracking_id}``."""

    anomaly_id: str
    tracking_id: str
    device_id: str
    service: str
    anomaly_type: str
    seen_at: UtcDatetime = Field(description="When the platform stored that it was found.")
    stages: Stages

    @computed_field(description="The last stage it is known to have passed.")  # type: ignore[prop-decorator]
    @property
    def last_stage(self) -> str:
        return next((stage for stage in reversed(FAST_PATH) if stage in self.stages), "ingest")


class Doubled(BaseModel):
    """An anomaly in two places: ids of incidents, or ``suppressed:<rule>``."""

    anomaly_id: str
    tracking_id: str
    places: list[str]


class DeadAnomaly(BaseModel):
    """An anomaly that ended as a dead letter."""

    anomaly_id: str
    tracking_id: str
    service: str = Field(description="The service that could not handle it.")
    reason: str
    at: UtcDatetime


class LedgerView(BaseModel):
    """The balance of a span. Lists name the oldest 100."""

    since: UtcDatetime
    until: UtcDatetime
    settled_after_s: float
    balanced: bool = Field(description="Nothing is unaccounted for and nothing is doubled.")
    balance: Balance
    unaccounted: list[OpenAnomaly]
    doubled: list[Doubled]
    dead_letters: list[DeadAnomaly]


class Totals(NamedTuple):
    """Anomalies by where they ended; *open* ended nowhere yet, *doubled* are in two places."""

    members: int
    duplicates: int
    suppressed: int
    open: int
    doubled: int
    digested: int = 0


class Place(NamedTuple):
    """Where an anomaly ended: *role* as last stored, *places* all of them."""

    anomaly_id: str
    tracking_id: str
    role: str
    places: Sequence[str]


@dataclass(frozen=True)
class Books:
    """Everything that is known of a span.

    *open* is *cut* at its young end when there are too many. *placed* has the ends of those open
    and dead anomalies that ended outside of the span.
    """

    totals: Totals
    open: Sequence[OpenAnomaly]
    placed: Mapping[str, Place]
    dead_letters: Mapping[str, DeadAnomaly]
    doubled: Sequence[Place]
    settled: datetime  # an anomaly that was seen before and has no end is lost
    cut: bool = False
    unread: int = 0  # published by detection, and nothing of them is stored

    @property
    def missing(self) -> list[OpenAnomaly]:
        """Without any end."""
        ended = self.placed.keys() | self.dead_letters.keys()
        return [one for one in self.open if one.anomaly_id not in ended]

    @property
    def lost(self) -> list[OpenAnomaly]:
        return [one for one in self.missing if one.seen_at < self.settled]

    @property
    def dead(self) -> list[DeadAnomaly]:
        """Those that ended as a dead letter; a replayed one has another end."""
        return [one for id_, one in self.dead_letters.items() if id_ not in self.placed]

    def balance(self) -> Balance:
        late = self._placed_elsewhere()
        lost, missing = len(self.lost), len(self.missing)
        if self.cut:
            rest = self.totals.open - len(self.open)
            missing += rest
            lost += rest if self._rest_is_lost else 0
        numbers = {
            "members": self.totals.members + late["member"],
            "duplicates": self.totals.duplicates + late["duplicate"],
            "suppressed": self.totals.suppressed + late[SUPPRESSED],
            "digested": self.totals.digested + late[DIGESTED],
            "dead_letters": len(self.dead),
            "in_flight": missing - lost,
            "unaccounted": lost + self.unread,
        }
        detected = sum(numbers.values())
        return Balance(detected=detected, unread=self.unread, doubled=len(self.doubled), **numbers)

    def _placed_elsewhere(self) -> Counter[str]:
        """Open in the span, because their end was stored before it."""
        ids = {one.anomaly_id for one in self.open} & self.placed.keys()
        return Counter(self.placed[id_].role for id_ in ids)

    @property
    def _rest_is_lost(self) -> bool:
        """Those that were cut are younger. When even the youngest known one has settled, they may
        have too, and the ledger prefers a false alarm."""
        return self.open[-1].seen_at < self.settled


def doubled(places: Iterable[Place]) -> list[Doubled]:
    return [
        Doubled(anomaly_id=one.anomaly_id, tracking_id=one.tracking_id, places=sorted(one.places))
        for one in places
    ]
