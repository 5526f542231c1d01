"""Silences of operators. Pure.

A silence suppresses anomalies that happen *or* arrive while it is active: a line that a device held
back belongs to the work during which it was written, and a device with a wrong clock is silenced
too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from aiops_core.models import EnrichedAnomaly
from aiops_core.suppression.labels import Labels, labels_of
from aiops_core.suppression.silences import Op, Silence


class Silences:
    """All silences, indexed by a value that they ask for, so that few need to be compared."""

    def __init__(self, silences: Sequence[Silence] = ()) -> None:
        self.replace(silences)

    def replace(self, silences: Sequence[Silence]) -> None:
        self._filed: defaultdict[tuple[str, str], list[Silence]] = defaultdict(list)
        self._others: list[Silence] = []
        for silence in silences:
            key = _filing_key(silence)
            (self._filed[key] if key else self._others).append(silence)

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self._filed.values()))

    def hiding(self, anomaly: EnrichedAnomaly) -> Silence | None:
        """The silence that began first of those that hide *anomaly*."""
        if not len(self._others) + len(self._filed):
            return None
        labels = labels_of(anomaly)
        happened = anomaly.ts
        arrived = max(anomaly.stages.values(), default=happened)
        found = (
            silence
            for silence in self._worth_a_look(labels)
            if (silence.holds(happened) or silence.holds(arrived)) and silence.matches(labels)
        )
        return min(found, key=lambda silence: (silence.starts_at, silence.id), default=None)

    def _worth_a_look(self, labels: Labels) -> Iterator[Silence]:
        yield from self._others
        if self._filed:
            for name, values in labels.items():
                for value in values:
                    yield from self._filed.get((name, value), ())


def _filing_key(silence: Silence) -> tuple[str, str] | None:
    wanted = (m for m in silence.matchers if m.op is Op.IS and m.value)
    return next(((m.name, m.value) for m in wanted), None)
