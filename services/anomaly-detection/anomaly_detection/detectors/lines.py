"""The template of each line, learned once whoever asks, and what detectors of lines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from pydantic import JsonValue

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Key, Snapshot
from anomaly_detection.detectors.late import Late
from anomaly_detection.templates.mining import Miner, Template

SHIPS = 8  # of one host; the one that said least is forgotten, as strangers' ids come and go
PAUSE = 600.0  # seconds of a device that is still listened to; longer pauses say nothing about it
TEXT_SHOWN = 90  # characters of a template in a sentence


class Heard(NamedTuple):
    """A line as the learning detectors see it: of which device, when (seconds), and what."""

    device: Key
    at: float
    template: Template
    group: str
    new: bool


class Lines:
    """Templates are learned per ship, at most *kept* groups of each."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._miners: dict[str, Miner] = {}
        self._entry: LogEntry | None = None
        self._heard: Heard | None = None

    def of(self, entry: LogEntry) -> Heard:
        """*entry* and its template; every detector that asks is told the same."""
        if entry is not self._entry or self._heard is None:
            ship_id = entry.ship_id
            heard = Heard(
                (ship_id, entry.device_id or entry.host),
                entry.ts.timestamp(),
                *self._miner(ship_id).learn(entry.msg),
            )
            self._entry, self._heard = entry, heard
        return self._heard

    def image(self) -> Iterator[Snapshot]:
        """What is known now, by ship and number of the group, in small parts."""
        images = [(ship, miner.image()) for ship, miner in self._miners.items()]
        return (
            {f"{ship}/{number}": group for number, group in part.items()}
            for ship, parts in images
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
    """For how many seconds somebody was listened to; pauses and clocks that jump do not count."""

    at: float | None = None
    known: float = 0.0
    last: str = ""  # set by the owner, when all that the entry changes is changed
    late: Late = field(default_factory=Late)

    def hear(self, at: float) -> None:
        """An entry of *at* is in hand; the same one again changes nothing."""
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


def joined(parts: Iterable[Snapshot]) -> Snapshot:
    return {key: value for part in parts for key, value in part.items()}


def quoted(text: str) -> str:
    """A template in a sentence, on one line."""
    return f"“{text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + '…'}”"
