"""What incident-api expects of the store of its devices: the same in memory and of ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Unavailable
from aiops_core.models import Device
from aiops_core.runtime.service import utc_now
from incident_api.devices.models import UnknownHost
from incident_api.devices.store import ClickHouseDevices, DeviceStore
from tests.api_parts import empty_tables
from tests.conftest import NOON
from tests.memory_stores import MemoryDevices

CORE = Device(
    id="core", name="Core ✓", type="switch", site="deck 3", criticality="critical",
    upstream=("b", "a"), owner="it", labels={"ip": "::1", "hostname": "core.ship"},
)  # fmt: skip
PLAIN = Device(id="plain")


@pytest.fixture
async def clickhouse(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    async with empty_tables(clickhouse_url) as opened:
        yield opened


@pytest.fixture(params=["memory", "clickhouse"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[DeviceStore]:
    if request.param == "memory":
        yield MemoryDevices()
        return
    async with empty_tables(request.getfixturevalue("clickhouse_url")) as clickhouse:
        yield ClickHouseDevices(clickhouse)


async def write(
    store: DeviceStore, minutes: int, *changed: Device, removed: tuple[Device, ...] = ()
) -> None:
    await store.write(changed, removed, NOON + timedelta(minutes=minutes), "eto")


async def test_nothing_is_kept_at_first(store):
    devices, newest = await store.load()
    assert (list(devices), newest) == ([], datetime.fromtimestamp(0, UTC))


async def test_devices_come_back_whole_and_once_by_id(store):
    await write(store, 0, PLAIN, CORE.model_copy(update={"name": "old"}))
    await write(store, 1, CORE)
    devices, newest = await store.load()
    assert list(devices) == [CORE, PLAIN]
    assert newest == NOON + timedelta(minutes=1)


async def test_what_was_removed_is_gone_until_it_is_told_again(store):
    await write(store, 0, PLAIN, CORE)
    await write(store, 1, removed=(PLAIN,))
    assert list((await store.load())[0]) == [CORE]
    await write(store, 2, PLAIN)
    assert list((await store.load())[0]) == [CORE, PLAIN]


async def test_an_older_edition_takes_no_effect(store):
    await write(store, 5, CORE)
    await write(store, 1, CORE.model_copy(update={"name": "old"}))
    assert list((await store.load())[0]) == [CORE]


async def test_unknown_hosts_are_counted_once_the_busiest_first(clickhouse):
    now = utc_now()  # older rows would leave by their time-to-live
    columns = ("anomaly_id", "device_id", "service", "ts", "stored_at", "version")
    rows = [
        (f"{device}{n}", device, service, now + timedelta(minutes=n), now + late, version)
        for device, service, count, late in SENT
        for n in range(count)
        for version in (1, 2)
    ]
    await clickhouse.insert("aiops.anomalies", columns, rows)
    store = ClickHouseDevices(clickhouse)
    last = now + timedelta(minutes=2)
    assert list(await store.unknown_hosts(now, ["core", "x"], 2)) == [
        UnknownHost(host="pi", anomalies=3, last_seen=last, services=["app"]),
        UnknownHost(host="10.0.0.7", anomalies=1, last_seen=now, services=["dns"]),
    ]
    assert [one.host for one in await store.unknown_hosts(now, [], 1)] == ["core"]


SENT = (
    ("core", "kernel", 4, timedelta()),
    ("pi", "app", 3, timedelta()),
    ("10.0.0.7", "dns", 1, timedelta()),
    ("zz", "dns", 1, timedelta()),
    ("earlier", "app", 9, timedelta(seconds=-1)),
)


async def test_an_unreadable_row_costs_only_itself(clickhouse):
    store = ClickHouseDevices(clickhouse)
    await write(store, 0, CORE)
    columns = ("id", "criticality", "updated_at")
    await clickhouse.insert("aiops.devices", columns, [("x", "enormous", NOON)])
    assert list((await store.load())[0]) == [CORE]


async def test_a_store_that_is_away_says_so():
    async with ClickHouse.open("clickhouse://default@127.0.0.1:1/") as nobody:
        with pytest.raises(Unavailable):
            await ClickHouseDevices(nobody).load()
