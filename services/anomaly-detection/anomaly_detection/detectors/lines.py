"""The template of each line, learned once whoever asks, and what detectors of lines share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Snapshot
from anomaly_detection.templates.mining import Miner, Sighting

SHIPS = 8  # of one host; the one that was heard longest ago is forgotten
PAUSE = timedelta(
    minutes=10
)  # of a device that is still observed; longer ones say nothing about it
NONE = timedelta(0)
TEXT_SHOWN = 90  # characters of a template in a sentence


class Lines:
    """Templates are learned per ship, at most *kept* groups of each."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._miners: OrderedDict[str, Miner] = OrderedDict()
        self._entry: LogEntry | None = None
        self._sighting: Sighting | None = None

    def of(self, entry: LogEntry) -> Sighting:
        """The template of *entry* and its news; every detector that asks is told the same."""
        if entry is not self._entry or self._sighting is None:
            self._sighting = self._miner(entry.ship_id).learn(entry.msg)
            self._entry = entry
        return self._sighting

    def snapshot(self) -> Snapshot:
        """By ship and number of the group."""
        return {
            f"{ship}/{number}": group
            for ship, miner in self._miners.items()
            for number, group in miner.snapshot().items()
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        for key, group in state.items():
            ship, number = key.rsplit("/", 1)
            self._miner(ship).restore({number: group})

    def _miner(self, ship_id: str) -> Miner:
        miner = self._miners.get(ship_id)
        if miner is None:
            miner = self._miners[ship_id] = Miner(self._kept)
            if len(self._miners) > SHIPS:
                self._miners.popitem(last=False)
        elif len(self._miners) > 1:
            self._miners.move_to_end(ship_id)
        return miner


@dataclass(slots=True)
class Attention:
    """How long somebody was listened to: pauses and clocks that jump do not count as time."""

    at: datetime | None = None
    known: timedelta = NONE
    last: str = ""

    def hear(self, entry: LogEntry) -> bool:
        """False for an entry that was just heard."""
        if entry.tracking_id == self.last:
            return False
        self.last = entry.tracking_id
        passed = entry.ts - (self.at or entry.ts)
        if passed >= NONE:
            self.known += min(passed, PAUSE)
        if passed >= NONE or passed < -PAUSE:  # and not just late
            self.at = entry.ts
        return True


def quoted(text: str) -> str:
    """A template in a sentence, on one line."""
    return f"“{text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + '…'}”"
