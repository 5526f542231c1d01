"""Whatever reads stored things back gives what can be read, and skips, counts and names the rest.

``STREAMS_AND_BUCKETS`` and ``TABLES`` list the readers. ``test_no_reader_is_missing`` finds what
read in the source: each belongs to a reader of the lists, or has a reason why it is none.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import anomaly_detection.published
from aiops_cli.what_if import recorded
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Reject, in_words
from aiops_core.inventory import inventory, suggestions
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import EdgeFinding, Suggestion, Suggestions
from aiops_core.models import (
    VERSION,
    AnomalyCleared,
    AnomalyContext,
    AnomalyDetected,
    Device,
    LlmInsights,
    Message,
    ProblemEdited,
    Recurrence,
)
from aiops_core.observability import metrics, tally
from aiops_core.observability.probe import Readiness
from aiops_core.observability.tally import minute_of
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime import crashes, unreadable
from aiops_core.runtime.bus import LARGEST, REASON, SOURCE, SUBJECT
from aiops_core.runtime.crashes import Crashes
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.watched import (
    watched_inventory,
    watched_ship,
    watched_silences,
    watched_suggestions,
)
from aiops_core.suppression import ship, silences
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.ship import LinkOutage, MaintenanceWindow, ModeChange, ModeLog
from aiops_core.suppression.silences import Matcher, Silence
from aiops_lab.memory_bus import MemoryBus
from correlation_service import kept
from correlation_service.correlator import Correlator
from correlation_service.kept import KeptIncident
from enrichment_service.clickhouse_queries import ContextQueries
from enrichment_service.context import Memory
from enrichment_service.policy import EnrichPolicy
from enrichment_service.warmup import Warmup
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.devices.import_rules import NewDevice
from incident_api.devices.published import PublishedDevices, PublishedSuggestions
from incident_api.devices.store import ClickHouseDevices
from incident_api.devices.suggesting import DEVICES_KEY, SuggestedDevice, SuggestedDevices
from incident_api.digest.queries import DigestQueries
from incident_api.ledger.broker import BrokerRecords
from incident_api.migrate import migrate
from incident_api.recorder import Recorder
from incident_api.recurrence.queries import ClickHouseProblems
from incident_api.recurrence.store import ProblemFilter
from incident_api.rows import DigestedRow, incident_row, micros
from incident_api.silences.repository import SilenceRepository
from incident_api.stats.queries import StatsQueries
from incident_api.store import AS_NAMED, IncidentFilter
from incident_api.trace.queries import TraceQueries
from llm_enricher.answering.cache import KeptAnswer
from llm_enricher.answering.cache_table import ClickHouseCache
from llm_enricher.evidence.queries import LineQueries
from llm_enricher.handler import Insight, Sources
from llm_enricher.model import model
from llm_enricher.model.acceptance import Examination
from llm_enricher.model.client import HttpModelServer
from llm_enricher.model.privacy import PrivacyPolicy
from llm_enricher.policy import LlmPolicy
from llm_enricher.retrieval.incident_table import ResolvedIncidents
from llm_enricher.rules.book import RuleBook
from tests import clickhouse_server as embedded
from tests.api_parts import TABLES as EMPTIED
from tests.conftest import ROOT
from tests.correlation_cases import POLICY, anomaly, reborn
from tests.incident_cases import (
    NOON,
    created,
    detected,
    enriched,
    evidence,
    receive,
    transitioned,
    updated,
)
from tests.memory_stores import MemoryStore

GOOD = 12  # entries of each reader that it can read
WINDOW = timedelta(hours=1)


def spoiled(good: bytes) -> dict[str, bytes]:
    """Entries that cannot be read, most of them made of one that can."""
    fields = json.loads(good)
    return {
        "empty": b"",
        "blank": b"  \n",
        "null bytes": b"\0" * 64,
        "a null byte in it": good[:-1] + b"\0}",
        "broken": b"{broken",
        "cut off": good[: len(good) // 2],
        "no object": b"7",
        "another object": b"{}",
        "wrong types": json.dumps({name: {"a": [7]} for name in fields}).encode(),
        "deep": b'{"a":' * 100_000,
        "no text": b"\xff\xfe\xfd",
        "no text in it": good[:-2] + b'\xff"}',
        "a megabyte": b'{"id": "' + b"x" * 2**20 + b'"}',
    }


def spoiled_message(message: Message) -> dict[str, bytes]:
    good = message.model_dump_json().encode()
    later = message.model_dump(mode="json") | {"schema_version": "4.0"}
    return spoiled(good) | {
        "another major version": json.dumps(later).encode(),
        "too large": good[:-1] + b" " * LARGEST + b"}",
    }


def between(good: list[Any], bad: Mapping[str, bytes]) -> Iterator[Any]:
    """Each of *bad* between two of *good*, as often as there are."""
    rest = list(bad.values())
    share = -(-len(rest) // (len(good) - 1))
    for one in good:
        yield one
        yield from rest[:share]
        del rest[:share]
    assert not rest


@dataclass(frozen=True)
class Reader:
    """*where* it counts what it skips. *check* fills what it reads with good and bad entries, reads
    them, asserts that all good ones are there, and returns the number of bad ones."""

    where: str
    check: Callable[..., Awaitable[int]]


# Of streams.


def publish(bus: MemoryBus, good: list[Message]) -> int:
    """Fill *bus*; the number of entries that cannot be read."""
    subject, bad = good[0].subject, spoiled_message(good[0])
    for one in between(good, bad):
        data = one if isinstance(one, bytes) else one.model_dump_json().encode()
        bus.put(subject, data)
        bus.put("incidents.of.a.later.release", data)
    return len(bad)


async def correlation(bus: MemoryBus) -> int:
    facts = [created(f"i{n}", n) for n in range(GOOD)]
    bad = publish(bus, facts)
    open_incidents = (await reborn(bus)).state.open.incidents
    assert all(open_incidents.get(fact.id) for fact in facts)
    return bad


async def kept_incidents(bus: MemoryBus) -> int:
    correlator = Correlator(POLICY)
    for n in range(GOOD):
        correlator.handle(anomaly(n, f"host-{n}", "storage_error"))
    found = correlator.state.open.incidents
    good = [KeptIncident.copied(correlator.state, id_) for id_ in found]
    bad = await put_all(bus, kept.BUCKET, KeptIncident.prefix, good)
    await bus.bucket(kept.BUCKET).put(kept.AS_OF, b"{}")
    await bus.bucket(kept.BUCKET).put("voyage.7", b"{}")
    open_incidents = (await reborn(bus)).state.open.incidents
    assert set(open_incidents) == set(found)
    return bad + 2


class NoRows:
    """A ClickHouse that has nothing."""

    async def newest(self, since):
        return None

    async def history(self, since, cutoff):
        return []

    similar = incidents = memberships = newest_rows = lambda self, since: _nothing()


async def _nothing() -> list[Any]:
    return []


async def enrichment(bus: MemoryBus) -> int:
    fresh = {"host": "sw-1", "device_id": "sw-1", "ts": utc_now(), "stages": {"detect": utc_now()}}
    bad = publish(bus, [detected(n, **fresh) for n in range(GOOD)])
    memory, readiness = Memory(EnrichPolicy.load(ROOT / "policies").health), Readiness("test")
    for dependency in ("clickhouse", "inventory"):
        readiness.needs(dependency, required=False)
    await Warmup(NoRows(), memory, readiness).recover(bus)
    assert memory.observe(memory.locate(detected(99, **fresh))).count_1h == GOOD
    return bad


async def recorder(bus: MemoryBus) -> int:
    store = MemoryStore()
    await receive(Recorder(store), store, created())
    comments = [transitioned(n + 1, "comment", comment=f"c{n}") for n in range(GOOD)]
    bad = publish(bus, comments)
    again = Recorder(store)
    await again.recover(bus)
    stored = again.registry.known("i1")
    assert stored.change == GOOD
    told = [entry.text for entry in stored.incident.timeline if entry.kind == "comment"]
    assert told == [f"c{n}" for n in range(GOOD)]
    return bad


async def what_if_recoveries(bus: MemoryBus) -> int:
    good = [
        AnomalyCleared(
            tracking_id=f"t{n}", ship_id="s1", ts=NOON, host=f"h{n}",
            anomaly_types=("link_down",), detector="recovery", reason="up again",
        )
        for n in range(GOOD)
    ]  # fmt: skip
    bad = publish(bus, good)
    found = await recorded.recoveries(bus, utc_now() - WINDOW)
    assert [one.host for one in found] == [one.host for one in good]
    return bad


async def dead_letters(bus: MemoryBus) -> int:
    """What is buried can rarely be read, and stands for one anomaly all the same. Only a dead
    letter that does not say where it was addressed is none."""
    good, bad = [detected(n) for n in range(GOOD)], spoiled(detected().model_dump_json().encode())
    for n, one in enumerate(between(good, bad)):
        data = one if isinstance(one, bytes) else one.model_dump_json().encode()
        headers = {SUBJECT: AnomalyDetected.subject, SOURCE: f"LOGS/{n}", REASON: "no such ship"}
        bus._put("dead.enrichment-service", data, headers)
        bus.put("dead.enrichment-service", data)
    buried = {one.anomaly_id for one in await BrokerRecords(bus).dead_anomalies(utc_now() - WINDOW)}
    assert {one.anomaly_id for one in good} <= buried
    assert len(buried) == GOOD + len(bad)
    return GOOD + len(bad)


async def anomalies_published(bus: MemoryBus) -> int:
    now = minute_of(utc_now())
    bad = publish(bus, [detected(n, stages={"detect": now}) for n in range(GOOD)])
    for key, value in tally.encode({now: 1}, [tally.key_of(now)]).items():
        await bus.bucket(tally.BUCKET).put(key, value)
    counting = anomaly_detection.published.PublishedCounts(bus)
    await counting.recover(bus)
    await counting.write()
    assert await BrokerRecords(bus).detected() == {now: GOOD}
    return bad


async def explained_incidents(bus: MemoryBus) -> int:
    facts = [created(f"i{n}", n) for n in range(GOOD)]
    bad = publish(bus, facts)
    policy = LlmPolicy.load(ROOT / "policies")
    insight = Insight(policy.answering, Sources(RuleBook.of(policy)), Publishing())
    await insight.recover(bus)
    assert all(insight.incidents.get(fact.id) for fact in facts)
    return bad


# Of buckets.


def silence(n: int) -> Silence:
    changed = {"created_at": NOON, "updated_at": NOON, "updated_by": "eto"}
    return Silence(
        id=f"silence-{n:02}", matchers=(Matcher.parse("device_id=sw-1"),), starts_at=NOON,
        ends_at=utc_now() + WINDOW, created_by="eto", comment="works", **changed,
    )  # fmt: skip


def outage(n: int) -> LinkOutage:
    return LinkOutage(
        id=f"o-{n:02}", start=NOON, end=NOON + WINDOW, device_id="vsat", kind="quota",
        reason="used up", source="provider",
    )  # fmt: skip


def window(n: int) -> MaintenanceWindow:
    return MaintenanceWindow(
        id=f"m-{n:02}",
        start=NOON,
        end=NOON + WINDOW,
        devices=("sw-1",),
        owner="eto",
        reason="works",
    )


async def put_all(bus: MemoryBus, bucket: str, prefix: str, good: list[Any]) -> int:
    bad = spoiled(good[0].model_dump_json().encode())
    for n, one in enumerate(between(good, bad)):
        data = one if isinstance(one, bytes) else one.model_dump_json().encode()
        await bus.bucket(bucket).put(f"{prefix}{n:03}", data)
    return len(bad)


async def silences_in_force(bus: MemoryBus) -> int:
    good = [silence(n) for n in range(GOOD)]
    bad = await put_all(bus, silences.BUCKET, "silence-", good)
    watched = watched_silences(bus)
    for _ in range(3):  # what is read again and again counts once
        await watched.load(1)
    assert list(watched.value) == good
    return bad


async def silences_of_the_api(bus: MemoryBus) -> int:
    good = [silence(n) for n in range(GOOD)]
    bad = await put_all(bus, silences.BUCKET, "silence-", good)
    repository = SilenceRepository(bus, SuppressPolicy.load(ROOT / "policies"))
    assert await repository.all() == await repository.all() == good
    await repository.tidy()
    return bad


async def state_of_the_ship(bus: MemoryBus) -> int:
    windows, outages = [window(n) for n in range(GOOD)], [outage(n) for n in range(GOOD)]
    bad = await put_all(bus, ship.BUCKET, ship.MAINTENANCE_PREFIX, windows)
    bad += await put_all(bus, ship.BUCKET, ship.OUTAGE_PREFIX, outages)
    changes = ModeLog(changes=(ModeChange(mode="port", since=NOON),))
    await bus.bucket(ship.BUCKET).put(ship.MODE_KEY, changes.model_dump_json().encode())
    watched = watched_ship(bus)
    await watched.load(1)
    assert list(watched.value.maintenance) == windows
    assert list(watched.value.outages) == outages
    assert watched.value.mode == changes
    return bad


async def devices_of_the_ship(bus: MemoryBus) -> int:
    """It is one value: the former stays in force."""
    devices = Inventory([Device(id=f"d{n}") for n in range(GOOD)])
    watched, bucket = watched_inventory(bus), bus.bucket(inventory.BUCKET)
    await bucket.put(inventory.KEY, devices.to_json())
    await watched.load(1)
    bad = list(spoiled(Device(id="d").model_dump_json().encode()).values())
    bad += [devices.to_json()[:-1] + b',{"id": 7}]']
    reasons = set()
    for data in bad:
        with pytest.raises(ValidationError) as refused:
            Inventory.from_json(data)
        reasons.add(in_words(refused.value))
        await bucket.put(inventory.KEY, data)
        await watched.load(1)
        assert watched.value == devices
    return len(reasons)  # of one key each counts once


async def edges_suggested(bus: MemoryBus) -> int:
    """They are one value as well."""
    good = Suggestions([suggestion(n) for n in range(GOOD)])
    watched, bucket = watched_suggestions(bus), bus.bucket(inventory.BUCKET)
    await bucket.put(suggestions.KEY, good.to_json())
    await watched.load(1)
    reasons = set()
    for data in spoiled_suggestions(good):
        reasons.add(_refusal(data))
        await bucket.put(suggestions.KEY, data)
        await watched.load(1)
        assert watched.value == good
    return len(reasons)


async def edges_of_the_api(bus: MemoryBus) -> int:
    """Their writer goes on from none, and mends the entry."""
    bucket, reasons = bus.bucket(inventory.BUCKET), set()
    for data in spoiled_suggestions(Suggestions([suggestion(n) for n in range(GOOD)])):
        reasons.add(_refusal(data))
        await bucket.put(suggestions.KEY, data)
        assert await PublishedSuggestions(bus).change(lambda known: known) == Suggestions()
        assert Suggestions.from_json(await bucket.get(suggestions.KEY) or b"") == Suggestions()
    return len(reasons)


async def devices_suggested(bus: MemoryBus) -> int:
    """Beside the edges, in an entry of their own."""
    one = SuggestedDevice(device=NewDevice(id="tv"), said="a lease", last_seen=NOON)
    bucket, reasons = bus.bucket(inventory.BUCKET), set()
    for data in (*spoiled(one.model_dump_json().encode()).values(), b"[7]"):
        with pytest.raises(ValidationError) as refused:
            SuggestedDevices.from_json(data)
        reasons.add(in_words(refused.value))
        await bucket.put(DEVICES_KEY, data)
        mended = await PublishedDevices(bus).change(lambda known: known.found([one]))
        assert [device.device.id for device in mended] == ["tv"]
        assert await bucket.get(DEVICES_KEY) == mended.to_json()
    return len(reasons)


def spoiled_suggestions(good: Suggestions) -> list[bytes]:
    bad = list(spoiled(suggestion(0).model_dump_json().encode()).values())
    return [*bad, good.to_json()[:-1] + b',{"device": 7}]']


def _refusal(data: bytes) -> str:
    with pytest.raises(ValidationError) as refused:
        Suggestions.from_json(data)
    return in_words(refused.value)


def suggestion(n: int) -> Suggestion:
    finding = EdgeFinding(kind="time", confidence=0.7, first_seen=NOON, last_seen=NOON)
    return Suggestion(device=f"d{n}", upstream="sw-1", findings=(finding,))


async def examinations(bus: MemoryBus) -> int:
    """Each is of one model on one host: that one is examined anew, as if it never was."""
    good = Examination(model="m", digest="d", host="h", at=NOON, cases=())
    bucket = bus.bucket(model.BUCKET)
    bad = await put_all(bus, model.BUCKET, "m", [good] * GOOD)
    asked, privacy = LlmPolicy.load(ROOT / "policies").model, PrivacyPolicy.load(ROOT / "policies")
    async with HttpModelServer.open("http://127.0.0.1:9", "ollama", "") as server:
        one = model.Model(server, asked, privacy, kept=bucket, readiness=Readiness("x"), host="h")
        found = [await one._known(f"m{n:03}") for n in range(GOOD + bad)]
    assert [examined for examined in found if examined] == [good] * GOOD
    return bad


async def anomalies_counted(bus: MemoryBus) -> int:
    hours = [NOON + n * WINDOW for n in range(GOOD)]
    good = tally.encode(dict.fromkeys(hours, 7), map(tally.key_of, hours))
    bad = [*spoiled(b'{"7": 1, "a": 2}').values(), b'{"60": 1}', b'{"7": -1}']
    bad.remove(b"{}")
    for n, value in enumerate(bad):
        good[f"2026-07-01T{n:02}"] = value
    good["2026-07"] = b"{}"
    for key, value in good.items():
        await bus.bucket(tally.BUCKET).put(key, value)
    assert await BrokerRecords(bus).detected() == dict.fromkeys(hours, 7)
    return len(bad) + 1


async def notes_of_crashes(bus: MemoryBus) -> int:
    """Each consumer group has one value; a group whose value is spoiled counts from the
    beginning."""
    good = {"LOGS/7": crashes.DEADLY}
    bad = spoiled(json.dumps(good).encode())
    bad |= {"infinite": b'{"LOGS/7": 1e999}', "a list": b'["LOGS/7"]'}
    del bad["another object"]
    for name, data in {"good": json.dumps(good).encode(), **bad}.items():
        await bus.bucket(crashes.BUCKET).put(name, data)
    for name in ("good", *bad):
        noting = Crashes(bus.bucket(crashes.BUCKET), name)
        said = pytest.raises(Reject) if name == "good" else contextlib.nullcontext()
        with said:
            async with noting.noted(Suspect()):
                pass
    return len(bad)


class Suspect:
    """A delivery that came again and again."""

    id, attempt = "LOGS/7", crashes.SUSPICIOUS + 1


# Of tables.


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


@asynccontextmanager
async def tables(url: str) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(url) as clickhouse:
        limits = RetentionPolicy.load(ROOT / "policies").tables_days
        await migrate(clickhouse, ROOT / "clickhouse", limits)
        for table in EMPTIED:
            await clickhouse.execute(f"TRUNCATE TABLE aiops.{table}")
        await clickhouse.execute("TRUNCATE TABLE logs.raw")
        yield clickhouse


async def copies(
    clickhouse: ClickHouse, table: str, key: str, columns: Mapping[str, list[bytes | str]]
) -> int:
    """Rows like the first of *table* with another *key* and one of *columns* spoiled; how many."""
    [(names,)] = await clickhouse.query(
        "SELECT groupArray(name) FROM system.columns"
        " WHERE concat(database, '.', table) = %(table)s AND default_kind = ''",
        {"table": table},
    )
    sql = f"SELECT {', '.join(names)} FROM {table} LIMIT 1"  # noqa: S608 - names of the schema
    [row] = await clickhouse.query(sql)
    good = dict(zip(names, row, strict=True))
    rows = [
        good | {key: f"x{column}-{n}", column: value}
        for column, values in columns.items()
        for n, value in enumerate(values)
    ]
    await clickhouse.insert(table, names, [tuple(row.values()) for row in rows])
    return len(rows)


def bodies(good: str) -> list[bytes | str]:
    """What a driver can write into a column of text."""
    return list(spoiled(good.encode()).values())


async def store_of_incidents(clickhouse: ClickHouse) -> ClickHouseStore:
    store = ClickHouseStore(clickhouse)
    await receive(Recorder(store), store, *(created(f"i{n:02}", n) for n in range(GOOD)))
    return store


async def spoil_incidents(clickhouse: ClickHouse, *columns: str) -> int:
    row = incident_row(await ClickHouseStore(clickhouse).incident("i00"))
    wrong: dict[str, list[bytes | str]] = {
        "body": [*bodies(row.body), row.body.replace('"severity":"high"', '"severity":"awful"')],
        "fold": bodies(row.fold)[4:],
        "severity": ["awful"],
        "status": ["odd"],
        "domain": ["sea"],
        "root_cause": ["{", "[]", '{"confidence": 7}'],
        "title": [b"\xff"],
    }
    return await copies(clickhouse, "aiops.incidents", "id", {c: wrong[c] for c in columns})


async def incident_by_incident(clickhouse: ClickHouse) -> int:
    store = await store_of_incidents(clickhouse)
    bad = await spoil_incidents(clickhouse, "body", "fold")
    ids = [str(row[0]) for row in await clickhouse.query("SELECT id FROM aiops.incidents")]
    found = [await store.incident(id_) for id_ in ids]
    assert sorted(one.incident.id for one in found if one) == [f"i{n:02}" for n in range(GOOD)]
    return bad


async def open_incidents(clickhouse: ClickHouse) -> int:
    store = await store_of_incidents(clickhouse)
    bad = await spoil_incidents(clickhouse, "body", "fold")
    found = await store.newest_open(1000)
    assert sorted(one.incident.id for one in found) == [f"i{n:02}" for n in range(GOOD)]
    return bad


async def listed_incidents(clickhouse: ClickHouse) -> int:
    store = await store_of_incidents(clickhouse)
    bad = await spoil_incidents(clickhouse, "severity", "status", "domain", "root_cause", "title")
    for most in (4, GOOD, 100):  # a page is as full as it would be without them
        found = await store.page(IncidentFilter(), None, most)
        assert [one.id for one in found] == [f"i{n:02}" for n in reversed(range(GOOD))][:most]
    return bad


async def recurring(clickhouse: ClickHouse) -> ClickHouseProblems:
    """The store of problems, with as many as are good, the first of them three times."""
    store = ClickHouseStore(clickhouse)
    facts = [
        created(f"i{n:02}", n, recurrence=Recurrence(problem_id=f"p{n:02}")) for n in range(GOOD)
    ]
    again = [
        updated(n, 900 + n, incident="i00", reopens=True, recurrence=one)
        for n in range(2, GOOD + 1)
        for one in [Recurrence(problem_id="p00", occurrence=n)]
    ]
    await receive(Recorder(store), store, *facts, *again)
    return ClickHouseProblems(clickhouse)


async def problems(clickhouse: ClickHouse) -> int:
    store = await recurring(clickhouse)
    good = incident_row(await ClickHouseStore(clickhouse).incident("i01"))
    spoiled = ({"severity": "awful"}, {"title": b"\xff"}, {"ship_id": b"\xff"})
    bad = [good._replace(id=f"x{n}", problem_id=f"x{n}", **one) for n, one in enumerate(spoiled)]
    await clickhouse.insert("aiops.incidents", good._fields, bad)
    wanted = ["p00", *(f"p{n:02}" for n in reversed(range(1, GOOD)))]
    for most in (4, GOOD, 100):
        found = await store.page(ProblemFilter(times=1), None, most, AS_NAMED, 3)
        assert [one.id for one in found] == wanted[:most]
    return len(bad)


async def occurrences(clickhouse: ClickHouse) -> int:
    store = await recurring(clickhouse)
    bad = await copies(
        clickhouse,
        "aiops.problem_occurrences",
        "incident_id",
        {"severity": ["awful", b"\xff"], "note": [b"\xff"]},
    )
    for most in (4, GOOD, 100):
        found = await store.occurrences("p00", None, most, AS_NAMED)
        assert [one.number for one in found] == list(range(GOOD, 0, -1))[:most]
    return bad


async def edits_of_problems(clickhouse: ClickHouse) -> int:
    store = ClickHouseStore(clickhouse)
    edit = ProblemEdited(
        tracking_id="t", ship_id="s", ts=utc_now(), problem_id="p", change=1, kind="merge", into="q"
    )
    await receive(Recorder(store), store, edit)
    wrong = bodies(edit.model_dump_json())
    bad = await copies(clickhouse, "aiops.problem_edits", "problem_id", {"body": wrong})
    assert await store.edits() == [edit]
    return bad


async def members(clickhouse: ClickHouse) -> int:
    store = ClickHouseStore(clickhouse)
    await receive(Recorder(store), store, created(), updated(2, *range(1, GOOD)))
    good = evidence(0).model_dump_json()
    wrong = [*bodies(good), good.replace('"role":"member"', '"role":"captain"')]
    bad = await copies(clickhouse, "aiops.incident_members", "anomaly_id", {"body": wrong})
    for most in (4, GOOD, 100):
        found = await store.evidence("i1", None, most)
        wanted = [f"t{n}" for n in reversed(range(GOOD))][:most]
        assert [one.tracking_id for one in found] == wanted
    return bad


async def events(clickhouse: ClickHouse) -> int:
    store = ClickHouseStore(clickhouse)
    await receive(Recorder(store), store, created(), *(updated(n, n) for n in range(2, GOOD + 1)))
    bad = await copies(clickhouse, "aiops.incident_events", "event_id", {"text": [b"\xff"] * 3})
    for most in (4, GOOD, 100):
        found = await store.timeline("i1", None, most)
        assert len(found) == min(most, GOOD) and all(type(row.text) is str for row in found)
    return bad


async def stored_anomalies(clickhouse: ClickHouse, **fields: Any) -> ClickHouseStore:
    store = ClickHouseStore(clickhouse)
    passed = {"stages": {"detect": utc_now(), "enrich": utc_now()}}
    context = AnomalyContext(device=Device(id="sw-1", labels={"rack": "r7"}))
    found = [enriched(n, context=context, **passed | fields) for n in range(GOOD)]
    await receive(Recorder(store), store, *found)
    return store


async def spoil_anomalies(clickhouse: ClickHouse, **columns: list[bytes | str]) -> int:
    return await copies(clickhouse, "aiops.anomalies", "anomaly_id", columns)


async def traced(clickhouse: ClickHouse) -> int:
    await stored_anomalies(clickhouse, tracking_id="t")
    wrong = [b for b in bodies(enriched().model_dump_json()) if not _is_object(b)]
    bad = await spoil_anomalies(clickhouse, body=wrong)
    found = (await TraceQueries(clickhouse).traced("t")).anomalies
    assert len(found) == 1 and found[0].body["msg"]
    return bad


def _is_object(body: bytes | str) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


async def traced_line(clickhouse: ClickHouse) -> int:
    columns = ("tracking_id", "ts", "ingestion_timestamp", "msg")
    now = utc_now()
    await clickhouse.insert("logs.raw", columns, [("t1", now, now, "fine")])
    await clickhouse.insert("logs.raw", columns, [("t2", now, now, b"\xff")])
    assert (await TraceQueries(clickhouse).traced("t1")).log.msg == "fine"
    assert (await TraceQueries(clickhouse).traced("t2")).log is None
    return 1


async def stored_digest(clickhouse: ClickHouse, **columns: list[bytes | str]) -> int:
    """As many good findings of today as messages, and spoiled ones."""
    row = DigestedRow(
        *("a", "t", "s1", micros(utc_now()), "sw-1", "app", "", "log_error", "level", "low", "odd"),
        *("", "", "known here", {}),
    )
    rows = [row._replace(anomaly_id=f"a{n}", template=f"t{n}") for n in range(GOOD)]
    await clickhouse.insert("aiops.anomalies_digested", DigestedRow._fields, rows)
    return await copies(clickhouse, "aiops.anomalies_digested", "anomaly_id", columns)


async def digest_of_a_day(clickhouse: ClickHouse) -> int:
    bad = await stored_digest(clickhouse, template=[b"\xff"], component=[b"\xfe"])
    found = await DigestQueries(clickhouse).of_day(utc_now().date())
    assert {one.template for one in found.items} == {f"t{n}" for n in range(GOOD)}
    return bad


async def traced_digest(clickhouse: ClickHouse) -> int:
    bad = await stored_digest(clickhouse, reason=[b"\xfe"], template=[b"\xff"])
    found = (await TraceQueries(clickhouse).traced("t")).digested
    assert {one.view.template for one in found} == {f"t{n}" for n in range(GOOD)}
    return bad


async def label_counts(clickhouse: ClickHouse) -> int:
    await stored_anomalies(clickhouse)
    device = enriched(context=AnomalyContext(device=Device(id="d"))).model_dump_json()
    wrong = device.replace('"id":"d"', '"id":7')
    odd = {"severity": ["awful", "odd"], "host": [b"\xff"], "body": [wrong]}
    bad = await spoil_anomalies(clickhouse, **odd)
    found = await StatsQueries(clickhouse).label_counts(utc_now() - WINDOW)
    assert sum(number for _, number in found) == GOOD
    assert {labels["label.rack"] for labels, _ in found} == {("r7",)}
    return bad


async def what_if_anomalies(clickhouse: ClickHouse) -> int:
    await stored_anomalies(clickhouse)
    good = enriched().model_dump_json()
    later = good.replace(f'"schema_version":"{VERSION}"', '"schema_version":"4.0"')
    wrong = [*bodies(good), good.replace('"severity":"high"', '"severity":"awful"'), later]
    bad = await spoil_anomalies(clickhouse, body=wrong)
    pages = await recorded.pages(clickhouse, utc_now() - WINDOW)
    found = [one.tracking_id async for page in recorded.read(clickhouse, pages) for one in page]
    assert sorted(found) == sorted(f"t{n}" for n in range(GOOD))
    return bad


async def similar(clickhouse: ClickHouse) -> int:
    await stored_anomalies(clickhouse)
    bad = await spoil_anomalies(clickhouse, severity=["awful"], msg=[b"\xff"])
    found = await ContextQueries(clickhouse).similar(utc_now() - WINDOW)
    assert len({one.anomaly_id for _, one in found}) == GOOD
    return bad


async def last_incidents(clickhouse: ClickHouse) -> int:
    await store_of_incidents(clickhouse)
    bad = await spoil_incidents(clickhouse, "severity", "status", "title")
    found = await ContextQueries(clickhouse).incidents(NOON - WINDOW)
    assert sorted(row.incident.id for row in found) == [f"i{n:02}" for n in range(GOOD)]
    return bad


async def devices(clickhouse: ClickHouse) -> int:
    store, good = ClickHouseDevices(clickhouse), [Device(id=f"d{n:02}") for n in range(GOOD)]
    await store.write(good, (), NOON, "eto")
    wrong: dict[str, list[bytes | str]] = {"criticality": ["awful", ""], "name": [b"\xff"]}
    bad = await copies(clickhouse, "aiops.devices", "id", wrong)
    assert list((await store.load())[0]) == good
    return bad


async def kept_answers(clickhouse: ClickHouse) -> int:
    """A fault whose answer cannot be read has none; another one follows."""
    cache = ClickHouseCache(clickhouse)
    answer = KeptAnswer(LlmInsights(root_cause="a cable", source="llm"), utc_now())
    for n in range(GOOD):
        await cache.keep(f"k{n}", answer)
    wrong = [*bodies(answer.insights.model_dump_json()), '{"root_cause": "x", "source": "rumour"}']
    bad = await copies(clickhouse, "aiops.llm_cache", "key", {"body": wrong})
    keys = [f"k{n}" for n in range(GOOD)] + [f"xbody-{n}" for n in range(bad)]
    found = [await cache.find(key) for key in keys]
    assert [bool(one) for one in found] == [True] * GOOD + [False] * bad
    return bad


async def lines_around(clickhouse: ClickHouse) -> int:
    columns = ("tracking_id", "ship_id", "ts", "ingestion_timestamp", "device_id", "msg")
    now, each = utc_now(), [b"\xff", b"\xfe\xfd"]
    good = [(f"t{n}", "s1", now, now, f"d{n}", "fine") for n in range(GOOD)]
    bad = [(f"x{n}", "s1", now, now, f"d{n}", msg) for n, msg in enumerate(each)]
    await clickhouse.insert("logs.raw", columns, [*good, *bad])
    found = await LineQueries(clickhouse).around(
        ship="s1", devices=[f"d{n}" for n in range(GOOD)], objects=[], signals=[], members=[],
        since=now - WINDOW, near=now - WINDOW, until=now + WINDOW, most=99, within=9,
    )  # fmt: skip
    assert sorted(line.tracking_id for line in found) == sorted(f"t{n}" for n in range(GOOD))
    return len(bad)


async def resolved_incidents(clickhouse: ClickHouse) -> int:
    await store_of_incidents(clickhouse)
    await clickhouse.execute(
        "ALTER TABLE aiops.incidents UPDATE status = 'resolved' WHERE 1 SETTINGS mutations_sync = 1"
    )
    wrong: dict[str, list[bytes | str]] = {"title": [b"\xff"], "category": [b"\xfe"]}
    bad = await copies(clickhouse, "aiops.incidents", "id", wrong)
    page = await ResolvedIncidents(clickhouse, str).changed()
    ids = sorted(one.id for one in page.passages)
    assert ids == sorted(f"i{n:02}" for n in range(GOOD))
    return bad


STREAMS_AND_BUCKETS = (
    Reader("llm-enricher.facts", explained_incidents),
    Reader("llm-enricher.examinations", examinations),
    Reader("correlation.facts", correlation),
    Reader("correlation.kept", kept_incidents),
    Reader("enrichment.anomalies", enrichment),
    Reader("incident-api.transitions", recorder),
    Reader("incident-api.dead_letters", dead_letters),
    Reader("what-if.recoveries", what_if_recoveries),
    Reader("detection.published", anomalies_published),
    Reader("tally", anomalies_counted),
    Reader("silences", silences_in_force),
    Reader("incident-api.silences", silences_of_the_api),
    Reader("ship", state_of_the_ship),
    Reader("inventory", devices_of_the_ship),
    Reader("suggestions", edges_suggested),
    Reader("incident-api.suggestions", edges_of_the_api),
    Reader("incident-api.suggestions", devices_suggested),
    Reader("runtime.crashes", notes_of_crashes),
)
TABLES = (
    Reader("incident-api.incidents", incident_by_incident),
    Reader("incident-api.incidents", open_incidents),
    Reader("incident-api.incident_list", listed_incidents),
    Reader("incident-api.problems", problems),
    Reader("incident-api.occurrences", occurrences),
    Reader("incident-api.problem_edits", edits_of_problems),
    Reader("incident-api.evidence", members),
    Reader("incident-api.timeline", events),
    Reader("incident-api.trace", traced),
    Reader("incident-api.log_lines", traced_line),
    Reader("incident-api.digest", digest_of_a_day),
    Reader("incident-api.digested", traced_digest),
    Reader("incident-api.anomaly_labels", label_counts),
    Reader("incident-api.devices", devices),
    Reader("enrichment.similar", similar),
    Reader("enrichment.incidents", last_incidents),
    Reader("what-if.anomalies", what_if_anomalies),
    Reader("llm-enricher.cache", kept_answers),
    Reader("llm.lines", lines_around),
    Reader("retrieval.incidents", resolved_incidents),
)


def counted(where: str) -> float:
    return metrics.UNREADABLE.labels(where)._value.get()


@pytest.fixture(autouse=True)
def nothing_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "SKIPPED", {})
    monkeypatch.setattr("aiops_core.observability.probe.SKIPPED", unreadable.SKIPPED)


def assert_told(reader: Reader, before: float, bad: int) -> None:
    assert bad > 0 and counted(reader.where) - before == bad
    told = Readiness("x").report()["unreadable"]
    assert list(told) == [reader.where] and told[reader.where].startswith(f"{bad} skipped")


@pytest.mark.parametrize("reader", STREAMS_AND_BUCKETS, ids=lambda r: r.check.__name__)
async def test_a_stream_or_bucket_with_entries_that_cannot_be_read(reader):
    before = counted(reader.where)
    assert_told(reader, before, await reader.check(MemoryBus()))


async def test_of_a_spread_one_part_that_cannot_be_read_takes_no_other_with_it(engine):
    async with tables(engine) as clickhouse:
        store = ClickHouseStore(clickhouse)
        facts = [
            created(
                f"i{n}",
                n,
                title=f"Fan failed on sw-{n}",
                evidence=(evidence(n, device_id=f"sw-{n}"),),
                recurrence=Recurrence(problem_id=f"p{n}", kind="k", spread="s"),
            )
            for n in range(3)
        ]
        await receive(Recorder(store), store, *facts)
        good = incident_row(await store.incident("i1"))
        spoiled = ({"severity": "awful"}, {"title": b"\xff"}, {"affected_devices": (b"\xff",)})
        bad = [good._replace(id=f"x{n}", problem_id=f"x{n}", **b) for n, b in enumerate(spoiled)]
        await clickhouse.insert("aiops.incidents", good._fields, bad)
        problems = ClickHouseProblems(clickhouse)
        [found] = await problems.page(ProblemFilter(times=1), None, 9, AS_NAMED, 3)
        assert found.title.startswith("Fan failed on ") and found.problems == 6
        assert found.devices == ("sw-0", "sw-1", "sw-2")


@pytest.mark.parametrize("reader", TABLES, ids=lambda r: r.check.__name__)
async def test_a_table_with_rows_that_cannot_be_read(engine, reader):
    before = counted(reader.where)
    async with tables(engine) as clickhouse:
        assert_told(reader, before, await reader.check(clickhouse))


# No reader is missing. Calls that read, by "file:function" or the beginning of it.

READS = {
    "from_json", "history", "loads", "model_validate_json", "newest", "query", "validate_json",
}  # fmt: skip
BUCKET_READS = {"all", "get", "watch"}

BELONGS_TO = {
    "llm_enricher/answering/cache_table.py": "llm-enricher.cache",
    "llm_enricher/evidence/queries.py": "llm.lines",
    "llm_enricher/handler.py:Insight.recover": "llm-enricher.facts",
    "llm_enricher/model/model.py:Model._known": "llm-enricher.examinations",
    "llm_enricher/retrieval/incident_table.py": "retrieval.incidents",
    "aiops_core/runtime/crashes.py:": "runtime.crashes",
    "aiops_core/inventory/inventory.py:Inventory.from_json": "inventory",
    "aiops_core/suppression/ship.py:Ship.of.read": "ship",
    "aiops_core/suppression/silences.py:decode": "silences",
    "aiops_core/observability/tally.py:decode": "tally",
    "aiops_core/inventory/suggestions.py:Suggestions.from_json": "suggestions",
    "aiops_core/runtime/watched.py:Watched.": "inventory",
    "aiops_core/runtime/watched.py:watched_inventory.read": "inventory",
    "aiops_core/runtime/watched.py:watched_suggestions.read": "suggestions",
    "incident_api/devices/published.py:Published": "incident-api.suggestions",
    "incident_api/devices/suggesting.py:SuggestedDevices.from_json": "incident-api.suggestions",
    "anomaly_detection/published.py:PublishedCounts.recover": "detection.published",
    "correlation_service/handler.py:Correlation._evolve": "correlation.facts",
    "correlation_service/handler.py:Correlation._published": "correlation.facts",
    "correlation_service/kept.py:decode": "correlation.kept",
    "aiops_cli/what_if/recorded.py:_anomaly": "what-if.anomalies",
    "aiops_cli/what_if/recorded.py:pages": "what-if.anomalies",
    "aiops_cli/what_if/recorded.py:read": "what-if.anomalies",
    "aiops_cli/what_if/recorded.py:recoveries": "what-if.recoveries",
    "enrichment_service/clickhouse_queries.py:ContextQueries.incidents": "enrichment.incidents",
    "enrichment_service/clickhouse_queries.py:ContextQueries.similar": "enrichment.similar",
    "enrichment_service/warmup.py:Warmup.recover": "enrichment.anomalies",
    "incident_api/clickhouse_store.py:ClickHouseStore._page_rows": "incident-api.incident_list",
    "incident_api/clickhouse_store.py:ClickHouseStore._rows_of": "incident-api.timeline",
    "incident_api/clickhouse_store.py:ClickHouseStore.incident": "incident-api.incidents",
    "incident_api/clickhouse_store.py:ClickHouseStore.newest_open": "incident-api.incidents",
    "incident_api/clickhouse_store.py:ClickHouseStore.edits": "incident-api.problem_edits",
    "incident_api/clickhouse_store.py:_edit": "incident-api.problem_edits",
    "incident_api/clickhouse_store.py:_evidence": "incident-api.evidence",
    "incident_api/devices/store.py:ClickHouseDevices.load": "incident-api.devices",
    "incident_api/ledger/broker.py:BrokerRecords.dead_anomalies": "incident-api.dead_letters",
    "incident_api/ledger/broker.py:BrokerRecords.detected": "tally",
    "incident_api/ledger/broker.py:_ids": "incident-api.dead_letters",
    "incident_api/recorder.py:Recorder.recover": "incident-api.transitions",
    "incident_api/recurrence/queries.py:ClickHouseProblems._occurrence": "incident-api.occurrences",
    "incident_api/recurrence/queries.py:ClickHouseProblems._rows": "incident-api.problems",
    "incident_api/rows.py:stored_incident": "incident-api.incidents",
    "incident_api/silences/repository.py:SilenceRepository.all": "incident-api.silences",
    "incident_api/stats/queries.py:StatsQueries.label_counts": "incident-api.anomaly_labels",
    "incident_api/stats/queries.py:_device": "incident-api.anomaly_labels",
    "incident_api/clickhouse_store.py:_summary": "incident-api.incident_list",
    "incident_api/digest/queries.py:DigestQueries.of_day": "incident-api.digest",
    "incident_api/trace/queries.py:TraceQueries._anomalies": "incident-api.trace",
    "incident_api/trace/queries.py:TraceQueries._digested": "incident-api.digested",
    "incident_api/trace/queries.py:TraceQueries.traced": "incident-api.log_lines",
    "incident_api/trace/queries.py:_anomaly": "incident-api.trace",
}
COLUMNS_ALONE = "takes columns as they are and decodes nothing"
NO_READER = {
    "aiops_core/observability/probe.py:_answer": "a request's line",
    "llm_enricher/answering/likeness.py": "fields called newest, of a question in memory",
    "llm_enricher/answering/members.py": "fields called newest, of a state in memory",
    "llm_enricher/evidence/gatherer.py:_members": "a field called newest, of a question in memory",
    "llm_enricher/model/answer.py:read_answer": "what a model says: each part is checked",
    "llm_enricher/model/briefing.py": "a field called newest, of a question in memory",
    "llm_enricher/model/wires.py": "answers of servers, not what is stored there",
    "llm_enricher/retrieval/resolved.py": "a field called newest, of a question in memory",
    "llm_enricher/retrieval/worker": "what parent and child say to each other",
    "llm_enricher/rules/case.py": "a field called newest, of a question in memory",
    "aiops_core/adapters/": "answers of servers, not what is stored there",
    "aiops_cli/ingest/": "files of people, refused line by line",
    "aiops_cli/topology/": "files of people, refused as a whole",
    "aiops_core/normaliser/": "lines of devices: whatever they are, they are kept as text",
    "aiops_lab/bench/": COLUMNS_ALONE,
    "aiops_lab/fleet/files.py": "the last line of a log, shown as it is when it is no JSON",
    "aiops_lab/fleet/process.py": "answers of our own processes",
    "aiops_lab/embedded/": "the embedded engine's own answers",
    "aiops_core/observability/probe.py:Readiness.report": "the newest of what was skipped",
    "aiops_core/runtime/handling.py:Handling._read": "the consumer: it buries what it cannot read",
    "aiops_core/runtime/unreadable.py:": "what readers skip with",
    "anomaly_detection/clocks.py": "memory of this process",
    "anomaly_detection/detectors/": "raises what the checkpointer takes for a damaged snapshot",
    "aiops_lab/evaluation/detection/": "data sets of an evaluation",
    "aiops_lab/evaluation/packs/": "cases of people, in a folder that they name",
    "anomaly_detection/checkpoint.py": "has its own battery: a damaged part costs one detector",
    "anomaly_detection/policy.py": "a query of the policy, not to a store",
    "anomaly_detection/snapshot": "raises what the checkpointer takes for a damaged snapshot",
    "anomaly_detection/poller.py": "a query of the policy, not to a store",
    "anomaly_detection/victoriametrics.py": "a query of the policy, not to a store",
    "correlation_service/alerts.py:unpacked": "memory of this process",
    "correlation_service/bucket_writer.py:BucketWriter._find_place": "asks only for a sequence",
    "incident_api/reads.py": "passes rows on to the readers of the tables",
    "enrichment_service/clickhouse_queries.py:ContextQueries.history": COLUMNS_ALONE,
    "enrichment_service/clickhouse_queries.py:ContextQueries.memberships": COLUMNS_ALONE,
    "enrichment_service/clickhouse_queries.py:ContextQueries.newest": COLUMNS_ALONE,
    "enrichment_service/warmup.py:Warmup._": "asks the readers of clickhouse_queries.py",
    "incident_api/__main__.py": "a part called history",
    "incident_api/clickhouse_store.py:ClickHouseStore.spreads": COLUMNS_ALONE,
    "incident_api/clickhouse_store.py:ClickHouseStore.tracking_ids": COLUMNS_ALONE,
    "incident_api/devices/commands.py:DeviceCommands._publish": "only compares two values",
    "incident_api/devices/store.py:ClickHouseDevices.unknown_hosts": COLUMNS_ALONE,
    "incident_api/devices/suggested.py:ClickHouseTroubles.troubles": COLUMNS_ALONE,
    "incident_api/ledger/queries.py": COLUMNS_ALONE,
    "incident_api/ledger/broker.py:BrokerRecords.count_dead_letters": "only counts messages",
    "incident_api/migrate.py": COLUMNS_ALONE,
    "incident_api/pages.py": "a request's, refused with 422",
    "incident_api/recurrence/queries.py:ClickHouseProblems.endings": COLUMNS_ALONE,
    "incident_api/stats/queries.py:StatsQueries._latency": COLUMNS_ALONE,
    "incident_api/stats/queries.py:StatsQueries.anomalies": COLUMNS_ALONE,
    "incident_api/stats/queries.py:StatsQueries.duplicates": COLUMNS_ALONE,
    "incident_api/stats/queries.py:StatsQueries.hidden_by": COLUMNS_ALONE,
    "incident_api/stats/queries.py:StatsQueries.incidents": COLUMNS_ALONE,
    "incident_api/wiring.py": "a part called history",
}


def calls_that_read(file: Path) -> Iterator[str]:
    """The functions of *file* that do."""

    def look(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = (*inside, node.name)
        if isinstance(node, ast.Attribute) and (
            node.attr in READS
            or (node.attr in BUCKET_READS and "bucket" in ast.unparse(node.value))
        ):
            yield ".".join(inside)
        for child in ast.iter_child_nodes(node):
            yield from look(child, inside)

    yield from look(ast.parse(file.read_text()), ())


def places_that_read() -> set[str]:
    roots = [ROOT / "aiops_core", *ROOT.glob("services/*/*_*/"), *ROOT.glob("tools/*/*_*/")]
    files = [(root, file) for root in roots for file in root.rglob("*.py")]
    return {
        f"{root.name}/{file.relative_to(root).as_posix()}:{function}"
        for root, file in files
        for function in calls_that_read(file)
    }


def test_no_reader_is_missing():
    places, listed = places_that_read(), (*BELONGS_TO, *NO_READER)
    assert len(places) > 60
    unlisted = [place for place in sorted(places) if not place.startswith(listed)]
    assert not unlisted, "give each a reader in the battery, or a reason in NO_READER"
    assert not [one for one in listed if not any(place.startswith(one) for place in places)]
    tested = {reader.where for reader in (*STREAMS_AND_BUCKETS, *TABLES)}
    assert set(BELONGS_TO.values()) == tested
