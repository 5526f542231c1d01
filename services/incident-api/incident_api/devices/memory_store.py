"""The device store in memory, for tests: the same promises as ClickHouse's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from aiops_core.errors import Unavailable
from aiops_core.models import Device
from incident_api.devices.store import Edition, Kept, Sender


class MemoryDevices:
    """Rows by id, as ReplacingMergeTree keeps them. While *problem* is set, nothing works."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Device, Edition, bool]] = {}
        self.anomalies: list[Sender] = []  # stored when they were last seen
        self.problem: str | None = None

    async def load(self) -> Kept:
        self._check()
        newest = [edition.at for _, edition, _ in self.rows.values()]
        there = sorted(id for id, (_, _, removed) in self.rows.items() if not removed)
        return Kept(
            [self.rows[id][0] for id in there], max(newest, default=datetime.fromtimestamp(0, UTC))
        )

    async def senders(self, since: datetime, known: Sequence[str], most: int) -> Sequence[Sender]:
        self._check()
        strangers = [s for s in self.anomalies if s.name not in known and s.last_seen >= since]
        return sorted(strangers, key=lambda s: (-s.anomalies, s.name))[:most]

    async def write(self, edition: Edition) -> None:
        self._check()
        for devices, removed in ((edition.told, False), (edition.removed, True)):
            for device in devices:
                kept = self.rows.get(device.id)
                if kept is None or edition.at >= kept[1].at:
                    self.rows[device.id] = (device, edition, removed)

    def _check(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)
