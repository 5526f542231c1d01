"""The template of each line, mined once for all detectors, and how long a device is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from pydantic import JsonValue

from aiops_core.models import LogEntry
from anomaly_detection.detectors.state import Key, Late, State
from anomaly_detection.templates.mining import Miner

SHIPS = 8  # of one host; the one with the fewest lines is evicted, as foreign ids come and go
PAUSE = 600.0  # seconds; of a longer pause no more than these count as time a device is known
TEXT_SHOWN = 90  # characters of a template in a sentence


class MinedLine(NamedTuple):
    """Device, time in seconds and template of a line. *new*: its group was not known."""

    device: Key
    at: float
    template_id: str
    template: str
    group: str
    new: bool


class Lines:
    """Mines templates per ship, at most *kept* groups of each."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._miners: dict[str, Miner] = {}
        self._entry: LogEntry | None = None
        self._mined: MinedLine | None = None

    def of(self, entry: LogEntry) -> MinedLine:
        """*entry* with its template: the same answer for every detector."""
        if entry is not self._entry or self._mined is None:
            ship_id = entry.ship_id
            mined = MinedLine(
                (ship_id, entry.device_id or entry.host),
                entry.ts.timestamp(),
                *self._miner(ship_id).learn(entry.msg),
            )
            self._entry, self._mined = entry, mined
        return self._mined

    def parts(self) -> Iterator[State]:
        """The groups at this call, by ship and number, in small parts."""
        of_ships = [(ship, miner.parts()) for ship, miner in self._miners.items()]
        return (
            {f"{ship}/{number}": group for number, group in part.items()}
            for ship, parts in of_ships
            for part in parts
        )

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        for key, group in state.items():
            ship, number = key.rsplit("/", 1)
            self._miner(ship).restore({number: group})

    def _miner(self, ship_id: str) -> Miner:
        miner = self._miners.get(ship_id)
        if miner is None:
            if len(self._miners) >= SHIPS:
                del self._miners[min(self._miners, key=lambda ship: self._miners[ship].lines)]
            miner = self._miners[ship_id] = Miner(self._kept)
        return miner


@dataclass(slots=True)
class Attention:
    """For how many seconds a device is known; long pauses and steps of its clock do not count."""

    at: float | None = None
    known: float = 0.0
    last: str = ""  # tracking id; set by the owner last, when the entry is fully processed
    late: Late = field(default_factory=Late)

    def hear(self, at: float) -> None:
        """Advance to an entry of the time *at*. Idempotent."""
        passed = at - self.at if self.at is not None else 0.0
        if passed >= 0:
            self.known += min(PAUSE, passed)
            self.at = at
            if self.late.first:
                self.late.over()
        elif passed < -PAUSE or self.late.proves(at):  # the clock was set back
            self.at = at

    def copy(self) -> Attention:
        return replace(self, late=replace(self.late))

    def span(self) -> timedelta:
        return timedelta(seconds=self.known)


def quoted(text: str) -> str:
    """A template in a sentence, on one line."""
    return f"“{text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + '…'}”"
