"""What detection says that it has published: read from the bus, where it counts."""

from __future__ import annotations

from aiops_core.errors import Unavailable
from aiops_core.observability.tally import BUCKET, Tally, decode
from aiops_core.runtime.bus import Bus


class Published:
    """The count that detection keeps in a bucket."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def tally(self) -> Tally:
        """Anomalies by the minute of their stage ``detect``. Raises Unavailable without NATS."""
        if not self._bus.connected:
            raise Unavailable("NATS is away")
        return decode(await self._bus.bucket(BUCKET).all())
