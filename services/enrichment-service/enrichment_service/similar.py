"""The newest anomalies of each fingerprint. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from aiops_core.bounded import BoundedDict
from aiops_core.models import Anomaly, SimilarAnomaly

FINGERPRINTS_KEPT = 10_000
SHOWN = 5
EACH_KEPT = SHOWN + 1  # one may be the anomaly itself
AGE = timedelta(days=7)
AHEAD = timedelta(minutes=1)  # tolerance for the time of an earlier anomaly
MSG_KEPT = 200  # characters


class SimilarAnomalies:
    def __init__(self) -> None:
        self._kept: BoundedDict[str, tuple[SimilarAnomaly, ...]] = BoundedDict(FINGERPRINTS_KEPT)

    def __len__(self) -> int:
        return len(self._kept)

    def before(self, fingerprint: str, id: str, ts: datetime) -> tuple[SimilarAnomaly, ...]:
        """Up to 5 of the 7 days before *ts* other than *id*, newest first."""
        oldest = ts - AGE
        others = [
            s
            for s in self._kept.get(fingerprint, ())
            if s.anomaly_id != id and oldest <= s.ts <= ts
        ]
        return tuple(others[:SHOWN])

    def add(self, fingerprint: str, id: str, anomaly: Anomaly) -> None:
        """Keep *anomaly* if it is among the newest; drop those that a wrong clock dated ahead."""
        latest = max(anomaly.stages.values(), default=anomaly.ts) + AHEAD
        known = self._kept.get(fingerprint, ())
        while known and known[0].ts > latest:
            known = known[1:]
        late = len(known) == EACH_KEPT and anomaly.ts < known[-1].ts
        if not late and not _has(known, id):
            similar = SimilarAnomaly.of_valid(
                anomaly_id=id,
                ts=anomaly.ts,
                severity=anomaly.severity,
                msg=anomaly.msg[:MSG_KEPT],
                incident_id=None,
            )
            self._keep(fingerprint, similar, known)

    def put(self, fingerprint: str, similar: SimilarAnomaly) -> None:
        """Keep *similar* if it is new and among the newest."""
        known = self._kept.get(fingerprint, ())
        if not _has(known, similar.anomaly_id):
            self._keep(fingerprint, similar, known)

    def _keep(
        self, fingerprint: str, similar: SimilarAnomaly, known: tuple[SimilarAnomaly, ...]
    ) -> None:
        newest = (similar, *known)
        if known and similar.ts < known[0].ts:
            newest = tuple(sorted(newest, key=lambda s: s.ts, reverse=True))
        self._kept.put(fingerprint, newest[:EACH_KEPT])

    def set_membership(self, fingerprint: str, anomaly_id: str, incident_id: str) -> None:
        """Set the incident of an earlier anomaly."""
        known = self._kept.get(fingerprint, ())
        if _has(known, anomaly_id):
            self._kept[fingerprint] = tuple(
                s.but(incident_id=incident_id) if s.anomaly_id == anomaly_id else s for s in known
            )


def _has(known: tuple[SimilarAnomaly, ...], id: str) -> bool:
    return id in [s.anomaly_id for s in known]
