"""What incident-api learns from its history, and publishes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET, Inventory
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.inventory.suggestions import KEY, Suggestions
from aiops_core.models import Device
from aiops_lab.memory_bus import MemoryBus
from incident_api.devices.suggested import EdgeLearner, PublishedSuggestions
from tests.conftest import ROOT

NOW = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = LearningPolicy.load(ROOT / "policies")


class History:
    """Alerts that were stored; *away*: the store cannot be asked."""

    def __init__(self, *kinds: str, times: int = 8) -> None:
        self.away, self.asked = False, list[datetime]()
        self._rows = [
            (device, kind, NOW - timedelta(hours=2 * n) + timedelta(seconds=late))
            for n in range(1, times + 1)
            for kind in kinds
            for late, device in enumerate(("sw-2", "AP-7"))
        ]

    async def troubles(self, since: datetime, most: int) -> Sequence[tuple[str, str, datetime]]:
        if self.away:
            raise Unavailable("clickhouse is away")
        self.asked.append(since)
        return self._rows[:most]


def learner(history: History, bus: MemoryBus, *devices: Device) -> EdgeLearner:
    ship = Inventory(devices)
    return EdgeLearner(history, PublishedSuggestions(bus), POLICY, lambda: ship, lambda: NOW)


async def published(bus: MemoryBus) -> Suggestions:
    data = await bus.bucket(BUCKET).get(KEY)
    assert data is not None
    return Suggestions.from_json(data)


async def test_what_the_history_says_is_published() -> None:
    bus, history = MemoryBus(), History("link_down")
    await learner(history, bus).learn()
    [edge] = await published(bus)
    assert (edge.device, edge.upstream, edge.kinds) == ("AP-7", "sw-2", ("time",))
    assert history.asked == [NOW - timedelta(days=90)]


async def test_a_device_of_the_inventory_has_its_id() -> None:
    bus = MemoryBus()
    await learner(History("link_down"), bus, Device(id="ap-7")).learn()
    assert [edge.device for edge in await published(bus)] == ["ap-7"]


@pytest.mark.parametrize(
    "devices",
    [
        (Device(id="sw-2"), Device(id="ap-7", upstream=("sw-2",))),
        (Device(id="ap-7"), Device(id="sw-2", upstream=("ap-7",))),
    ],
)
async def test_of_what_is_typed_nothing_is_suggested(devices: tuple[Device, ...]) -> None:
    bus = MemoryBus()
    await learner(History("link_down"), bus, *devices).learn()
    assert not len(await published(bus))


async def test_attackers_and_silence_teach_nothing() -> None:
    bus = MemoryBus()
    await learner(History("credential_attack", "auth_failure", "sender_lost"), bus).learn()
    assert not len(await published(bus))


async def test_what_a_person_rejected_stays_rejected_and_what_is_over_goes() -> None:
    bus = MemoryBus()
    await learner(History("link_down"), bus).learn()
    suggestions = PublishedSuggestions(bus)
    await suggestions.change(lambda known: known.decided("AP-7", "sw-2", "rejected"))
    await learner(History("link_down"), bus).learn()
    assert [edge.status for edge in await published(bus)] == ["rejected"]
    await suggestions.change(lambda known: known.decided("AP-7", "sw-2", "open"))
    await learner(History(), bus).learn()
    assert not len(await published(bus))


async def test_a_killed_process_and_a_lost_or_damaged_entry_cost_nothing() -> None:
    bus = MemoryBus()
    first = await learner(History("link_down"), bus).learn()
    for data in (b"{broken", b"[]", b""):
        await bus.bucket(BUCKET).put(KEY, data)
        assert await learner(History("link_down"), bus).learn() == first
        assert await published(bus) == first


async def test_without_the_store_what_was_learned_stays() -> None:
    bus, history = MemoryBus(), History("link_down")
    known = await learner(history, bus).learn()
    history.away = True
    with pytest.raises(Unavailable):
        await learner(history, bus).learn()
    assert await published(bus) == known
