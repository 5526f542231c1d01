"""Which anomalies are known already. Pure."""

from __future__ import annotations

from collections import OrderedDict


class Seen:
    """The newest *most* anomaly ids, so that a redelivery changes nothing.

    16 bytes an id instead of 36 characters: 200,000 of them stay below 30 MB.
    """

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._ids: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, anomaly_id: str) -> bool:
        return _packed(anomaly_id) in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, anomaly_id: str) -> bool:
        """Whether it was not known."""
        before = len(self._ids)
        self._ids[_packed(anomaly_id)] = None
        is_new = len(self._ids) > before
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)  # the first key of a dict takes ever longer to find
        return is_new


def _packed(anomaly_id: str) -> bytes:
    return bytes.fromhex(anomaly_id.replace("-", ""))
