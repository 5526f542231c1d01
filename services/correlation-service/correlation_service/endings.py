"""What a recovery ends, now and after a kill. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from aiops_core.models import AnomalyCleared, IncidentUpdated
from correlation_service.episodes import Episode
from correlation_service.recovery import Recoveries, kinds_of
from correlation_service.spots import Spot
from correlation_service.windowing import Windows

DeviceOf = Callable[[AnomalyCleared], str]
Ended = dict[Episode, list[str]]  # types of anomaly
UNTOLD_KEPT = 10_000  # recoveries that wait for the fact that tells of them; most ended nothing


class Endings:
    """*device_of* says which device a recovery is about; *flapping* is how long it is remembered as one.

    While state is restored a recovery may stand before the facts of what it ended. It waits for the fact
    that tells of it; when there is none, it came before what it is about, or the kill came before its
    fact: then it will be delivered again, and told.
    """

    def __init__(
        self, windows: Windows, recoveries: Recoveries, device_of: DeviceOf, flapping: timedelta
    ) -> None:
        self._windows, self._recoveries = windows, recoveries
        self._device_of, self._flapping = device_of, flapping
        self._untold: OrderedDict[str, AnomalyCleared] = OrderedDict()
        self._to_tell: dict[str, set[Spot]] = {}

    def end(self, cleared: AnomalyCleared) -> Ended:
        """The episodes in which something is over now, and what."""
        ended: Ended = {}
        to_tell = self._to_tell.pop(cleared.tracking_id, set())
        for kind in kinds_of(cleared, self._device_of(cleared)):
            self._recoveries.remember(kind, cleared)
            for spot in self._windows.of_kind(kind):
                if self._recoveries.ended(spot, cleared) or spot in to_tell:
                    self._recoveries.swing(spot, cleared.ts, self._flapping)
                    ended.setdefault(spot.episode, []).append(kind.anomaly_type)
        return ended

    def restore(self, cleared: AnomalyCleared) -> None:
        self._untold[cleared.tracking_id] = cleared
        if len(self._untold) > UNTOLD_KEPT:
            self._restored(self._untold.popitem(last=False)[1])

    def told_by(self, fact: IncidentUpdated) -> Ended:
        """What the recovery ended of which *fact* tells, if it tells of one."""
        cleared = self._untold.pop(fact.tracking_id, None)
        return self.end(cleared) if cleared else {}

    def restored(self) -> None:
        """All facts are folded."""
        for cleared in self._untold.values():
            self._restored(cleared)
        self._untold.clear()

    def _restored(self, cleared: AnomalyCleared) -> None:
        for kind in kinds_of(cleared, self._device_of(cleared)):
            self._recoveries.remember(kind, cleared)
            for spot in self._windows.of_kind(kind):
                if self._recoveries.ended(spot, cleared):
                    self._to_tell.setdefault(cleared.tracking_id, set()).add(spot)
