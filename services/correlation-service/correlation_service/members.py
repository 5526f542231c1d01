"""Anomalies as members of incidents. Pure.

Nearly every anomaly of a storm repeats an earlier one of its series. So the common part of a series
is built and validated once, and a member is a copy of it with its own fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiops_core.fingerprints import compute_correlation_keys, compute_fingerprint
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import EnrichedAnomaly, Evidence
from correlation_service.policy import CorrelatePolicy

MSG_KEPT = 500  # characters of a line that evidence carries; the whole line is in logs.raw
UPSTREAM_KEPT = 64  # devices that a member is known to depend on, nearest first
SERIES_KEPT = 4096  # whose common part is remembered, 2 KB each; the oldest is forgotten


class Members:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self._policy = policy
        self._commons: dict[tuple[object, ...], Evidence] = {}

    def of(self, anomaly: EnrichedAnomaly, anomaly_id: str, inventory: Inventory) -> Evidence:
        """*anomaly* as a member of an incident, without role and reason.

        If *inventory* knows no device that it depends on, those of enrichment count.
        """
        upstream: Sequence[str] = inventory.upstream_of(anomaly.device)
        upstream = upstream or [device.id for device in anomaly.context.upstream]
        known = upstream[:UPSTREAM_KEPT]
        probable = inventory.probable(anomaly.device)
        return self._common(anomaly).but(
            anomaly_id=anomaly_id,
            tracking_id=anomaly.tracking_id,
            ts=anomaly.ts,
            severity=anomaly.severity,
            score=anomaly.score,
            msg=anomaly.msg[:MSG_KEPT],
            fingerprint=compute_fingerprint(anomaly),
            upstream=tuple(known),
            probable={one: probable[one] for one in known if one in probable} if probable else {},
            template_id=anomaly.template_id or "",
            stages=anomaly.stages,
        )

    def _common(self, anomaly: EnrichedAnomaly) -> Evidence:
        """The part that all anomalies of a series share."""
        series = (
            anomaly.ship_id,
            anomaly.domain,
            anomaly.anomaly_type,
            anomaly.device_id,
            anomaly.host,
            anomaly.service,
            anomaly.detector,
            anomaly.metric,
            peer_of(anomaly),
            anomaly.component,
            anomaly.state,
        )
        common = self._commons.get(series)
        if common is None:
            common = self._commons[series] = self._built(anomaly)
            if len(self._commons) > SERIES_KEPT:
                del self._commons[next(iter(self._commons))]
        return common

    def _built(self, anomaly: EnrichedAnomaly) -> Evidence:
        return Evidence(
            anomaly_id=anomaly.anomaly_id,
            tracking_id=anomaly.tracking_id,
            ts=anomaly.ts,
            domain=anomaly.domain,
            anomaly_type=anomaly.anomaly_type,
            device_id=anomaly.device_id,
            host=anomaly.host,
            service=anomaly.service,
            detector=anomaly.detector,
            metric=anomaly.metric or "",
            peer=peer_of(anomaly),
            component=anomaly.component,
            state=self._is_state(anomaly),
            severity=anomaly.severity,
            score=anomaly.score,
            msg="",
            keys=tuple(self._keys(anomaly)),
        )

    def _is_state(self, anomaly: EnrichedAnomaly) -> bool:
        """As it says itself; a reading is one, as its detector says when it is over."""
        if anomaly.state is not None:
            return anomaly.state
        return bool(anomaly.metric) or self._policy.is_state(anomaly.anomaly_type)

    def _keys(self, anomaly: EnrichedAnomaly) -> Iterator[str]:
        """Its correlation keys by which its type groups, the strongest first."""
        known = {key.split("|")[1]: key for key in compute_correlation_keys(anomaly)}
        for word in self._policy.grouping_of(anomaly.anomaly_type).by:
            if word in known:
                yield known[word]


def peer_of(anomaly: EnrichedAnomaly) -> str:
    """The other side, for example of an attack."""
    return str(anomaly.meta.get("peer") or "")
