"""When incidents are over, and why. Pure: the tick brings the time.

What is due is kept in a heap, so that ten thousand open incidents cost a tick nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from correlation_service.episodes import Episode, recovered_of
from correlation_service.policy import CorrelatePolicy
from correlation_service.topology import root_cause
from correlation_service.windowing import Windows

SENDER_LOST = "sender_lost"
CLOCK = "%H:%M:%S UTC"
LAST = datetime.max.replace(tzinfo=UTC)
SPOTS_OPEN = 20_000  # problems of one device and type; they take some 8 KB each
QUIETEST = "this was the longest without a new anomaly"


class End(NamedTuple):
    """*episode* is over: *why* in one word, *note* in a sentence."""

    episode: Episode
    why: str
    note: str


class Closing:
    def __init__(self, policy: CorrelatePolicy, windows: Windows) -> None:
        self._policy, self._windows = policy, windows
        self._due: list[tuple[datetime, str]] = []
        self._looked_at: dict[str, datetime] = {}  # when each is looked at next

    def watch(self, episode: Episode) -> None:
        """Look at *episode* when it may be over; again when that became earlier."""
        over_at = self._over_at(episode)
        if over_at < self._looked_at.get(episode.id, LAST):
            self._looked_at[episode.id] = over_at
            heappush(self._due, (over_at, episode.id))

    def over(self, now: datetime) -> Iterator[End]:
        while self._due and self._due[0][0] < now:
            at, incident_id = heappop(self._due)
            if self._looked_at.get(incident_id) == at:
                del self._looked_at[incident_id]
            episode = self._windows.get(incident_id)
            if episode is None:
                continue
            if self._over_at(episode) < now:
                yield self._end(episode)
            else:
                self.watch(episode)
        yield from self._too_many()

    def _too_many(self) -> Iterator[End]:
        """Those that are quiet for longest, when more is open than fits in memory."""
        if self._windows.spots <= SPOTS_OPEN:
            return
        for episode in sorted(self._windows, key=lambda one: one.last_arrival):
            yield End(episode, "expired", f"more than {SPOTS_OPEN} problems are open; {QUIETEST}")
            if self._windows.spots <= SPOTS_OPEN:
                return

    def _over_at(self, episode: Episode) -> datetime:
        """The quiet after the last anomaly, or the calm after a recovery; and old lines must settle.

        An anomaly of the future was seen when it arrived: it does not stay open until then.
        """
        over = max(min(spot.last, spot.arrival) + spot.window for spot in episode.spots)
        over += self._policy.lateness
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
