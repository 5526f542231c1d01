"""When incidents are over, and why. Pure: the tick brings the time.

What is due is kept in a heap, so that ten thousand open incidents cost a tick nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from correlation_service.episodes import Episode, recovered_of
from correlation_service.policy import CorrelatePolicy
from correlation_service.topology import root_cause
from correlation_service.windowing import Windows

SENDER_LOST = "sender_lost"
CLOCK = "%H:%M:%S UTC"


class End(NamedTuple):
    """*episode* is over: *why* in one word, *note* in a sentence."""

    episode: Episode
    why: str
    note: str


class Closing:
    def __init__(self, policy: CorrelatePolicy, windows: Windows) -> None:
        self._policy, self._windows = policy, windows
        self._due: list[tuple[datetime, str]] = []

    def watch(self, episode: Episode) -> None:
        """Look at *episode* when it may be over; again when that became earlier."""
        heappush(self._due, (self._over_at(episode), episode.id))

    def over(self, now: datetime) -> Iterator[End]:
        while self._due and self._due[0][0] < now:
            _, incident_id = heappop(self._due)
            episode = self._windows.get(incident_id)
            if episode is None:
                continue
            if self._over_at(episode) < now:
                yield self._end(episode)
            else:
                self.watch(episode)

    def _over_at(self, episode: Episode) -> datetime:
        """The quiet after the last anomaly, or the calm after a recovery; and old lines must settle."""
        over = max(spot.last + spot.window for spot in episode.spots) + self._policy.lateness
        if recovered := episode.recovered_at:
            over = min(over, recovered + self._calm(episode))
        return max(over, episode.last_arrival + self._policy.settle)

    def _calm(self, episode: Episode) -> timedelta:
        return max(self._windows.calm_of(spot) for spot in episode.spots)

    def _end(self, episode: Episode) -> End:
        if recovered := episode.recovered_at:
            return End(episode, "recovered", f"all is well again since {recovered:{CLOCK}}")
        quiet = max(spot.window for spot in episode.spots).total_seconds() / 60
        note = f"nothing more was seen for {quiet:g} minutes"
        root = root_cause(episode.firsts()).device
        if healed := recovered_of(spot for spot in episode.spots if spot.kind.device == root):
            return End(episode, "recovered", f"{root} is well again since {healed:{CLOCK}}; {note}")
        wrong = {spot.kind.anomaly_type for spot in episode.spots if spot.worst >= 0}
        if wrong == {SENDER_LOST}:
            return End(episode, SENDER_LOST, f"who fell silent has not returned; {note}")
        return End(episode, "expired", note)
