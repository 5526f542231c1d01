"""Good news in lines: what was wrong on a device is well again. One is enough; silence is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Ended, Finding, Memoryless, Origin, clock
from anomaly_detection.detectors.table import Table, details, listed
from anomaly_detection.policy import Recovery


class RecoveryDetector(Memoryless):
    """Whether there was anything to recover from is not asked: who keeps the incidents knows that."""

    name = "recovery"

    def __init__(self, recoveries: Sequence[Recovery], table: Table | None = None) -> None:
        self._table = table or Table(recoveries)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        return list(self._ended(entry))

    def _ended(self, entry: LogEntry) -> Iterator[Ended]:
        """One end for all that the line clears, so that nothing is told twice of it."""
        found = list(self._table.of(Recovery, entry))
        if found:
            rule, match = found[0]
            types = dict.fromkeys(kind for rule, _ in found for kind in rule.clears)
            yield _ending(rule, match, tuple(types), entry)


def _ending(rule: Recovery, match: re.Match[str], types: tuple[str, ...], line: LogEntry) -> Ended:
    about = Origin.of(line)
    origin = about if rule.same_service else Origin(about.ship_id, about.host, about.device_id)
    told = details(match)
    return Ended(
        origin,
        line.ts,
        anomaly_types=types,
        detector=RecoveryDetector.name,
        reason=(
            f"At {clock(line.ts)} {about.service} on {about.device} reported "
            f"{rule.says}{listed(told)}."
        ),
        peer=str(told["peer"]) if "peer" in told else None,
    )
