"""Tables and dead letters of a span, as one balance. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from incident_api.ledger.models import Balance, DeadAnomaly, Doubled, OpenAnomaly
from incident_api.rows import SUPPRESSED


class Totals(NamedTuple):
    """Anomalies by where they ended; *open* ended nowhere yet, *doubled* are in two places."""

    members: int
    duplicates: int
    suppressed: int
    open: int
    doubled: int


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
