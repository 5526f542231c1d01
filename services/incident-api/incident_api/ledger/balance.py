"""Pure: what the tables and the dead letters say, as one balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import FAST_PATH
from incident_api.ledger.endings import OpenAnomaly, Place, Totals
from incident_api.ledger.models import Balance, Buried, Doubled, Unaccounted
from incident_api.rows import SUPPRESSED


@dataclass(frozen=True)
class Books:
    """Everything that is known of a span. *open* may be *cut* at its young end, *placed* tells where
    some of the open and of the buried ended after all."""

    totals: Totals
    open: Sequence[OpenAnomaly]
    placed: Mapping[str, Place]
    buried: Mapping[str, Buried]
    doubled: Sequence[Place]
    settled: datetime  # what was seen before and has no end is lost
    cut: bool = False
    unread: int = 0  # published by detection, and nothing of them is stored

    @property
    def missing(self) -> list[OpenAnomaly]:
        """Without any end."""
        ended = self.placed.keys() | self.buried.keys()
        return [one for one in self.open if one.anomaly_id not in ended]

    @property
    def lost(self) -> list[OpenAnomaly]:
        return [one for one in self.missing if one.seen_at < self.settled]

    @property
    def dead(self) -> list[Buried]:
        """Dead letters that were the end of their anomaly: one that was replayed has another."""
        return [one for id_, one in self.buried.items() if id_ not in self.placed]

    def balance(self) -> Balance:
        late = self._placed_elsewhere()
        lost, missing = len(self.lost), len(self.missing)
        if self.cut:
            unread = self.totals.open - len(self.open)
            missing += unread
            lost += unread if self._unread_are_lost else 0
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
    def _unread_are_lost(self) -> bool:
        """They are younger than what was read; when even the last of that is settled, they may be
        too, and a ledger errs on the side of the alarm."""
        return self.open[-1].seen_at < self.settled


def unaccounted(lost: Iterable[OpenAnomaly]) -> list[Unaccounted]:
    return [Unaccounted(**one._asdict(), last_stage=last_stage(one)) for one in lost]


def last_stage(anomaly: OpenAnomaly) -> str:
    passed = [stage for stage in FAST_PATH if stage in anomaly.stages]
    return passed[-1] if passed else "ingest"


def doubled(places: Iterable[Place]) -> list[Doubled]:
    return [
        Doubled(anomaly_id=one.anomaly_id, tracking_id=one.tracking_id, places=sorted(one.places))
        for one in places
    ]
