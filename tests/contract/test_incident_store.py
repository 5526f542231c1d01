"""What incident-api expects of its store: the same of the one in memory and of ClickHouse."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Misconfigured
from aiops_core.models import AnomalyContext, Device, Role, Severity, Status
from aiops_core.policy.retention import RetentionPolicy, Tables
from aiops_lab.memory_bus import MemoryBus
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.devices.suggested import ClickHouseTroubles
from incident_api.digest import queries
from incident_api.migrate import migrate
from incident_api.pages import PagePosition
from incident_api.recorder import Recorder
from incident_api.rows import Batch, IncidentRow, anomaly_row, micros
from incident_api.store import IncidentFilter, IncidentStore
from tests.api_parts import Platform, empty_tables, platform, platform_on
from tests.conftest import ROOT
from tests.incident_cases import (
    NOON,
    at,
    cleared,
    created,
    detected,
    digested,
    enriched,
    evidence,
    explained,
    handle,
    receive,
    suppressed,
    updated,
)

EVERYTHING = IncidentFilter()
FORMER_FOLD = (
    '{"insights":null,"similar":[],"version":1,"revision":1,"recorded_at":"2026-06-01T12:00:00Z"}'
)


class Remembered:
    """The store, and the queries beside it when it is ClickHouse."""

    def __init__(self, made: Platform) -> None:
        self.incidents: IncidentStore = made.components.store
        self.stats, self.traces = made.components.stats, made.components.traces
        self.digest = made.components.digest
        self.recorder, self.after = made.recorder, made.after

    async def ids(self, **where: object) -> list[str]:
        found = await self.incidents.page(IncidentFilter(**where), None, 100)  # type: ignore[arg-type]
        return [incident.id for incident in found]


@pytest.fixture
async def real(clickhouse_url: str) -> AsyncIterator[Remembered]:
    async with empty_tables(clickhouse_url) as clickhouse:
        yield Remembered(platform_on(clickhouse))


@pytest.fixture(params=["memory", "clickhouse"])
async def remembered(request: pytest.FixtureRequest) -> AsyncIterator[Remembered]:
    if request.param == "memory":
        yield Remembered(platform())
        return
    async with empty_tables(request.getfixturevalue("clickhouse_url")) as clickhouse:
        yield Remembered(platform_on(clickhouse))


@pytest.fixture
async def clickhouse(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(clickhouse_url) as opened:
        yield opened


def days() -> Tables:
    return RetentionPolicy.load(ROOT / "policies").tables_days


async def test_an_unknown_incident_is_none(remembered):
    assert await remembered.incidents.incident("nobody") is None
    assert await remembered.incidents.tracking_ids("nobody", 10) == []


async def test_what_was_folded_comes_back_as_it_was(remembered):
    await remembered.after(created(), updated(2, 1, severity="critical"), explained("llm", 3))
    stored = await remembered.incidents.incident("i1")
    kept = remembered.recorder.registry.known("i1")
    assert stored == kept.model_copy(
        update={"incident": kept.incident.model_copy(update={"tracking_ids": ()})}
    )


async def test_only_the_newest_version_is_found(remembered):
    await remembered.after(created())
    assert await remembered.ids(status=(Status.OPEN,)) == ["i1"]
    await remembered.after(cleared(2))
    assert await remembered.ids(status=(Status.OPEN,)) == []
    assert await remembered.ids(status=(Status.RESOLVED, Status.ACK)) == ["i1"]
    assert await remembered.incidents.newest_open(10) == []


async def test_troubles_are_the_first_members_of_each_alert(clickhouse_url):
    """Neither repetitions nor what is older."""
    async with empty_tables(clickhouse_url) as clickhouse:
        store, troubles = Remembered(platform_on(clickhouse)), ClickHouseTroubles(clickhouse)
        again = tuple(evidence(n, device_id="sw-3", host="sw-3") for n in (7, 3, 5))
        await store.after(created("i1", 7, evidence=again), created("i2", 900))
        found = await troubles.troubles(NOON - timedelta(hours=1), 10)
        assert found == [("sw-900", "link_down", at(900)), ("sw-3", "link_down", at(3))]
        assert await troubles.troubles(NOON - timedelta(hours=1), 1) == found[:1]
        assert await troubles.troubles(at(901), 10) == []


async def test_newest_open_are_those_last_updated(remembered):
    await remembered.after(*(created(f"i{n}", n) for n in range(4)))
    await remembered.after(updated(2, 60, incident="i1"), cleared(2, "i3"))
    found = await remembered.incidents.newest_open(2)
    assert [stored.incident.id for stored in found] == ["i1", "i2"]


@pytest.mark.parametrize(
    "where",
    [
        {"severity": (Severity.CRITICAL,)},
        {"category": "uplink"},
        {"ship_id": "ship-2"},
        {"service": "modemd"},
        {"device_id": "vsat-1"},
        {"device_id": "VSAT-1"},
        {"tracking_id": "t77"},
        {"since": at(50)},
        {"q": "MODEM läuft"},
        {"q": "VSAT-"},
        {"q": "o'brien\\"},
    ],
)
async def test_filters_find_the_one_and_not_the_other(remembered, where):
    special = evidence(77, device_id="vsat-1")
    other = created(
        "special",
        77,
        severity="critical",
        category="uplink",
        ship_id="ship-2",
        affected_services=("modemd",),
        evidence=(special,),
        title="Modem läuft heiß, sagt O'Brien\\ 100%",
    )
    await remembered.after(created(), other)
    assert await remembered.ids(**where) == ["special"]


async def test_until_ends_the_span(remembered):
    await remembered.after(created(), created("late", 90))
    assert await remembered.ids(until=at(30)) == ["i1"]


async def test_pages_neither_repeat_nor_skip_while_new_incidents_arrive(remembered):
    same_time = {"created_at": NOON}
    await remembered.after(*(created(f"i{n}", n, **same_time) for n in range(7)))
    seen: list[str] = []
    after = None
    for arrival in range(4):
        page = await remembered.incidents.page(EVERYTHING, after, 2)
        seen += [incident.id for incident in page]
        last = page[-1]
        after = PagePosition(micros(last.created_at), last.id)
        await remembered.after(created(f"new-{arrival}", 100 + arrival))
    assert seen == [f"i{n}" for n in (6, 5, 4, 3, 2, 1, 0)]


async def test_evidence_and_tracking_ids_are_all_members(remembered):
    await remembered.after(created(), updated(2, *range(1, 70)), updated(3, 70))
    first = await remembered.incidents.evidence("i1", None, 40)
    after = PagePosition(micros(first[-1].ts), first[-1].anomaly_id)
    rest = await remembered.incidents.evidence("i1", after, 40)
    shown = [one.tracking_id for one in (*first, *rest)]
    assert shown == [f"t{n}" for n in range(70, -1, -1)]
    assert await remembered.incidents.tracking_ids("i1", 50_000) == shown[::-1]
    assert await remembered.incidents.tracking_ids("i1", 3) == ["t68", "t69", "t70"]


async def test_the_timeline_has_every_fact_once(remembered):
    await remembered.after(created(), updated(2, 1), updated(3, 2))
    await remembered.after(updated(3, 2), cleared(4))
    first = await remembered.incidents.timeline("i1", None, 2)
    rest = await remembered.incidents.timeline(
        "i1", PagePosition(first[-1].ts, first[-1].event_id), 9
    )
    assert [row.kind for row in first] == ["created", "updated"]
    assert [row.kind for row in rest] == ["updated", "cleared"]


async def test_a_batch_that_is_written_twice_counts_once(real):
    batch = Batch([anomaly_row(enriched(n)) for n in range(3)])
    for _ in range(3):
        await real.incidents.write(batch)
    assert await real.stats.anomalies(NOON, "severity") == {"high": 3}


async def test_equal_rows_of_another_batch_are_written_again_and_count_once(real):
    for _ in range(2):
        await real.incidents.write(Batch([anomaly_row(enriched(1))]))
    assert await real.stats.anomalies(NOON, "severity") == {"high": 1}


async def test_stats_count_incidents_members_and_latency(real):
    now = datetime.now(UTC)
    fresh = {"stages": {"ingest": now - timedelta(milliseconds=40), "correlate": now}}
    member = evidence(1, **fresh)
    repeat = evidence(2, role=Role.DUPLICATE, fingerprint="f1", **fresh)
    incident = created(n=1, evidence=(member, repeat), **fresh)
    await real.after(detected(1), enriched(1), incident, suppressed(5))
    since = now - timedelta(seconds=5)
    (count,) = await real.stats.incidents(since)
    assert count == ("high", "open", "network", 1)
    assert await real.stats.incidents(now + timedelta(seconds=60)) == []
    fast = await real.stats.fast_path(since, 1e15)
    assert (fast.processed, fast.measured, fast.within) == (3, 3, 3)
    assert fast.p50 is not None and 40 <= fast.p50 < 60_000
    assert (await real.stats.fast_path(since, 1)).within == 0
    (group,) = await real.stats.duplicates(since)
    assert (group.incident_id, group.fingerprint) == ("i1", "f1")
    assert (group.member, group.members, group.duplicates) == (member.anomaly_id, 1, 1)
    assert await real.stats.hidden_by_type(since) == {"dock-noise": {"link_down": 1}}
    assert await real.stats.anomalies(since, "anomaly_type") == {"link_down": 1}


async def test_an_incident_that_is_reopened_counts_once_as_open_and_explained_once(real):
    back = updated(3, 9, reopens=True, reason="it is back")
    await real.after(created(), explained("rules", 1), cleared(2), back, explained("rules", 9))
    assert await real.stats.incidents(NOON) == [("high", "open", "network", 1)]
    path = await real.stats.insight_path(NOON, 5000)
    assert (path.processed, path.p99) == (1, pytest.approx(997, abs=1))
    fast = await real.stats.fast_path(NOON, 1e15)
    assert fast.processed == 2
    [stored] = await real.incidents.newest_open(10)
    assert (stored.incident.id, stored.incident.resolve_reason) == ("i1", None)


async def test_rows_of_a_former_release_are_read_and_are_of_no_problem(real, clickhouse):
    await real.after(created())
    later = {"problem_id", "occurrence", "cadence", "quiet_since"}
    columns = [name for name in IncidentRow._fields if name not in later]
    sql = f"SELECT {', '.join(columns)} FROM aiops.incidents FINAL"  # noqa: S608 - our own names
    [row] = await clickhouse.query(sql)
    former = dict(zip(columns, row, strict=True)) | {"id": "former", "fold": FORMER_FOLD}
    former["body"] = former["body"].replace('"id":"i1"', '"id":"former"')
    await clickhouse.insert("aiops.incidents", columns, [tuple(former.values())])
    [one] = await real.incidents.page(IncidentFilter(q="former"), None, 9)
    assert (one.problem_id, one.occurrence, one.cadence, one.quiet_since) == (None, None, "", None)
    assert await real.ids(quiet=True) == []
    await real.after(cleared(2, "former"))
    assert await real.ids(status=(Status.RESOLVED,)) == ["former"]


async def test_an_empty_span_has_no_latency(real):
    nothing = await real.stats.insight_path(NOON, 5000)
    assert (nothing.processed, nothing.p99) == (0, None)


async def test_the_insight_path_is_measured_by_the_first_answer(real):
    await real.after(created(), explained("rules", 1), explained("llm", 9))
    path = await real.stats.insight_path(NOON, 5000)
    assert (path.processed, path.within) == (1, 1)
    assert path.p99 == pytest.approx(997, abs=1)


async def test_a_trace_has_the_enriched_anomaly_and_where_it_ended(real):
    await real.after(detected(0), enriched(0), created())
    traced = await real.traces.traced("t0")
    (anomaly,) = traced.anomalies
    assert anomaly.version == 2
    assert anomaly.body["msg"] == "link down on port 0"
    assert set(anomaly.stages) == {"ingest", "detect", "enrich"}
    (member,) = traced.members
    assert (member.incident_id, member.role) == ("i1", "member")
    assert member.stages["correlate"] == created().stages["correlate"]
    assert (await real.traces.traced("t9")).members == []


async def test_a_trace_has_what_was_found_and_digested(real):
    await real.after(digested(0), digested(0))
    (found,) = (await real.traces.traced("t0")).digested
    assert (found.view.anomaly_type, found.view.reason) == ("link_down", "Known here: once.")
    assert found.stages == digested(0).stages and found.stored_at


async def test_a_digest_counts_each_message_of_a_device_once_and_the_most_frequent_first(real):
    told = [digested(n, device_id="sw-1") for n in range(3)]
    told += [digested(3, device_id="SW-1", template="fan <*> is slow", severity="low")]
    told += [digested(5, device_id="ap-2"), digested(6, device_id="sw-1", ts=at(86_400))]
    await real.after(*told, told[0])
    digest = await real.digest.of_day(NOON.date())
    assert (digest.number, digest.messages) == (5, 3)
    assert [(one.device, one.template, one.number) for one in digest.items] == [
        ("SW-1", "fan <*> is slow", 1),
        ("ap-2", "link down on port <*>", 1),
        ("sw-1", "link down on port <*>", 3),
    ]
    one = digest.items[-1]
    assert (one.first, one.last, one.severity) == (at(0), at(2), Severity.HIGH)
    assert (one.msg, one.tracking_id) == ("link down on port 2", "t2")


async def test_a_digest_is_of_one_device_however_its_name_is_written(real):
    await real.after(digested(1), digested(2))
    digest = await real.digest.of_day(NOON.date(), "Sw-2")
    assert [one.device for one in digest.items] == ["sw-2"] and digest.number == 1
    assert (await real.digest.of_day((NOON - timedelta(days=1)).date())).items == []


async def test_a_message_has_the_highest_of_its_severities(real):
    rising = [digested(n, device_id="sw-1", severity=s) for n, s in enumerate(("low", "critical"))]
    await real.after(*rising, digested(2, device_id="sw-1", severity="medium"))
    (one,) = (await real.digest.of_day(NOON.date())).items
    assert one.severity is Severity.CRITICAL


async def test_of_very_many_messages_the_most_frequent_are_listed(real, monkeypatch):
    monkeypatch.setattr(queries, "LISTED", 2)
    frequent = [digested(n, device_id="sw-1") for n in range(3)]
    await real.after(*frequent, *(digested(10 + n, template=f"{n} again") for n in range(4)))
    digest = await real.digest.of_day(NOON.date())
    assert (len(digest.items), digest.messages, digest.number) == (2, 5, 7)
    assert "sw-1" in [one.device for one in digest.items]


# The schema itself, which only ClickHouse has.


async def sizes(clickhouse: ClickHouse) -> Sequence[tuple[object, ...]]:
    sql = (
        "SELECT name, extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)') FROM system.tables"
        " WHERE database IN ('aiops', 'logs') ORDER BY name"
    )
    return await clickhouse.query(sql)


async def test_migrating_again_changes_nothing_and_retention_follows_the_policy(clickhouse):
    await migrate(clickhouse, ROOT / "clickhouse", days())
    before = await sizes(clickhouse)
    await migrate(clickhouse, ROOT / "clickhouse", days())
    assert await sizes(clickhouse) == before
    await migrate(clickhouse, ROOT / "clickhouse", Tables(logs_raw=3, anomalies=4, incidents=5))
    kept = dict(await sizes(clickhouse))
    assert kept["anomalies_digested"] == "4"
    assert (kept["raw"], kept["anomalies"], kept["incident_events"]) == ("3", "4", "5")


async def test_a_kill_between_a_migration_and_its_record_is_harmless(clickhouse):
    await migrate(clickhouse, ROOT / "clickhouse", days())
    store = ClickHouseStore(clickhouse)
    await receive(Recorder(store), store, created("survivor"), suppressed(7))
    members = "SELECT * FROM aiops.incident_members FINAL ORDER BY anomaly_id, place"
    before = await clickhouse.query(members)
    await clickhouse.execute("TRUNCATE TABLE aiops.migrations")
    await migrate(clickhouse, ROOT / "clickhouse", days())
    assert await clickhouse.query(members) == before
    assert {"survivor", ""} <= {row[0] for row in before}
    ((count,),) = await clickhouse.query("SELECT count() FROM aiops.migrations FINAL")
    assert count == len(list((ROOT / "clickhouse").glob("*.sql")))


async def test_a_migration_that_changed_later_is_refused(clickhouse, tmp_path):
    folder = shutil.copytree(ROOT / "clickhouse", tmp_path / "clickhouse")
    more = folder / f"{len(list(folder.glob('*.sql'))) + 1:04}_more.sql"
    more.write_text("CREATE DATABASE IF NOT EXISTS aiops;\n")
    await clickhouse.execute("DROP TABLE IF EXISTS aiops.migrations SYNC")
    try:
        await migrate(clickhouse, folder, days())
        more.write_text("SELECT 1;\n")
        with pytest.raises(Misconfigured, match="was changed after"):
            await migrate(clickhouse, folder, days())
    finally:
        await clickhouse.execute("DROP TABLE aiops.migrations SYNC")


async def test_a_release_is_put_back_on_the_schema_of_a_later_one(clickhouse, tmp_path):
    """It reads and writes as before; the later one finds what it has added when it comes back."""
    later = shutil.copytree(ROOT / "clickhouse", tmp_path / "clickhouse")
    number = len(list(later.glob("*.sql"))) + 1
    added = "ALTER TABLE aiops.incidents ADD COLUMN IF NOT EXISTS zone String DEFAULT 'bow';\n"
    (later / f"{number:04}_zone.sql").write_text(added)
    store = ClickHouseStore(clickhouse)
    try:
        for folder, incident in ((later, "i1"), (ROOT / "clickhouse", "i2"), (later, "i3")):
            await migrate(clickhouse, folder, days())
            await receive(Recorder(store), store, created(incident))
        zones = "SELECT id, zone FROM aiops.incidents WHERE id IN ('i1', 'i2', 'i3') ORDER BY id"
        assert await clickhouse.query(zones) == [("i1", "bow"), ("i2", "bow"), ("i3", "bow")]
        assert {one.incident.id for one in await store.newest_open(99)} >= {"i1", "i2", "i3"}
    finally:
        await clickhouse.execute("ALTER TABLE aiops.incidents DROP COLUMN IF EXISTS zone")
        await clickhouse.execute("DROP TABLE aiops.migrations SYNC")


async def test_recovery_loads_the_open_incidents(remembered):
    await remembered.after(created(), created("i2", 2), cleared(2, "i2"))
    again = Recorder(remembered.incidents)
    await again.recover(MemoryBus())
    assert again.recovered
    assert again.registry.known("i1") and not again.registry.known("i2")


async def test_a_member_that_moved_is_only_where_it_is_now(remembered):
    moved = evidence(1, moved_from="i1")
    await remembered.after(
        created(), updated(2, 1), created("i2", 7), updated(2, 1, incident="i2", members=(moved,))
    )
    assert await remembered.ids(tracking_id="t1") == ["i2"]
    assert await remembered.incidents.tracking_ids("i1", 10) == ["t0"]
    assert await remembered.incidents.tracking_ids("i2", 10) == ["t1", "t7"]
    assert [e.tracking_id for e in await remembered.incidents.evidence("i1", None, 10)] == ["t0"]


READERS = ["evidence", "tracking_ids", "timeline", "page", "trace", "stats", "silences"]


@pytest.mark.parametrize("reader", READERS)
async def test_every_reader_finds_what_is_shown_but_not_written_yet(real, reader):
    moved = evidence(1, moved_from="i1")
    await handle(real.recorder, created(), updated(2, 1), created("i2", 7))
    moving = updated(2, 1, incident="i2", members=(moved,))
    await handle(real.recorder, moving, suppressed(9))
    assert await read(real, reader) == {
        "evidence": ["t7", "t1"],
        "tracking_ids": ["t1", "t7"],
        "timeline": ["updated", "created"],
        "page": ["i2"],
        "trace": [("i2", "member")],
        "stats": 4,
        "silences": [("dock-noise", 1)],
    }.get(reader)


async def read(real: Remembered, reader: str) -> object:
    match reader:
        case "evidence":
            return [e.tracking_id for e in await real.incidents.evidence("i2", None, 10)]
        case "tracking_ids":
            return await real.incidents.tracking_ids("i2", 10)
        case "timeline":
            return [event.kind for event in await real.incidents.timeline("i2", None, 10)]
        case "page":
            return await real.ids(tracking_id="t1")
        case "trace":
            members = (await real.traces.traced("t1")).members
            return [(member.incident_id, member.role) for member in members]
        case "stats":
            return (await real.stats.fast_path(NOON, 100)).processed
        case _:
            return [
                (rule.rule, rule.number) for rule in (await real.stats.hidden_by_rule()).values()
            ]


async def test_what_each_rule_has_hidden_is_counted_once_however_often_it_is_stored(real):
    began = datetime.now(UTC) - timedelta(seconds=1)
    silenced = suppressed(7, by="silence-1").model_copy(update={"kind": "silence"})
    for _ in range(2):
        await real.after(suppressed(5), suppressed(6), silenced)
    rules = (await real.stats.hidden_by_rule()).values()
    assert [(r.rule, r.kind, r.number) for r in rules] == [
        ("dock-noise", "rule", 2),
        ("silence-1", "silence", 1),
    ]
    assert all(began <= rule.last_matched_at <= datetime.now(UTC) for rule in rules)


async def test_what_hid_an_anomaly_is_in_its_trace(real):
    fact = suppressed(5, by="no-power").model_copy(update={"kind": "inhibition", "source": "i1"})
    await real.after(detected(5), enriched(5), fact)
    [member] = (await real.traces.traced("t5")).members
    assert (member.rule, member.kind, member.source) == ("no-power", "inhibition", "i1")
    assert member.reason == "the ship is in dock"


async def test_anomalies_are_counted_by_their_labels(real):
    """They are counted since they arrived, and arrive now whatever time they state."""
    now = datetime.now(UTC)
    fresh = {"stages": {"enrich": now}}
    rack = AnomalyContext(device=Device(id="sw-1", type="switch", labels={"rack": "r7"}))
    await real.after(
        *(
            enriched(n, device_id="sw-1", host="sw-1", context=rack, tags=("new",), **fresh)
            for n in (1, 2)
        ),
        enriched(3, device_id=None, template_id="T9", metric="loss", **fresh),
        detected(4, stages={"detect": now}),
    )
    counts = await real.stats.label_counts(now - timedelta(hours=1))
    assert [number for _, number in counts] == [2, 1, 1]
    switch = counts[0][0]
    assert switch["label.rack"] == ("r7",) and switch["device_type"] == ("switch",)
    assert (switch["device_id"], switch["tag"], switch["domain"]) == (("sw-1",), ("new",), ("net",))
    [other] = [labels for labels, _ in counts if labels["template_id"] == ("T9",)]
    assert (other["device_id"], other["metric"], other["tag"]) == (("host-3",), ("loss",), ())
    assert await real.stats.label_counts(datetime.now(UTC) + timedelta(hours=1)) == []
