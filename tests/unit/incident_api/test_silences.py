"""Requests about silences -> answers, and what lies in the bucket afterwards."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from aiops_core.models import AnomalyContext, Device
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import BUCKET, Silence
from incident_api.silences.repository import SilenceRepository
from tests.api_parts import Platform, empty_tables, platform, platform_on, recovered
from tests.incident_cases import detected, enriched, suppressed
from tests.unit.incident_api.test_incident_api import API, problem

NOW = datetime.now(UTC)


def after(**span: float) -> str:
    return (NOW + timedelta(**span)).isoformat()


ORDER = {
    "matchers": ["device_id=sw-1", 'anomaly_type =~ "link_.*"'],
    "created_by": "eto",
    "comment": "cable works",
    "ends_at": after(hours=2),
}
PATH = f"{API}/silences"


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ashore(clock: Clock) -> Platform:
    return await recovered(platform(clock=clock))


@pytest.fixture
async def client(ashore: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with ashore.client() as client:
        yield client


@pytest.fixture
async def on_clickhouse(clickhouse_url: str, clock: Clock) -> AsyncIterator[Platform]:
    async with empty_tables(clickhouse_url) as clickhouse:
        made = await recovered(platform_on(clickhouse))
        silences = SilenceRepository(made.bus, made.components.suppress, clock)
        made.components = replace(made.components, silences=silences)
        yield made


@pytest.fixture
async def full_client(on_clickhouse: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with on_clickhouse.client() as client:
        yield client


async def add(client: httpx.AsyncClient, **changes: object) -> dict:
    order = {k: v for k, v in (ORDER | changes).items() if v is not None}
    answer = await client.post(PATH, json=order, headers={"X-Grafana-User": "mate"})
    assert answer.status_code == 201, answer.text
    shown: dict = answer.json()
    assert answer.headers["location"] == f"{PATH}/{shown['id']}"
    return shown


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_what_is_ordered_is_shown_and_lies_in_the_bucket(ashore, client):
    shown = await add(client)
    assert shown["matchers"] == ["device_id=sw-1", "anomaly_type=~link_.*"]
    assert (shown["state"], shown["created_by"]) == ("active", "eto")
    assert (shown["comment"], shown["updated_by"]) == ("cable works", "mate")
    assert (time(shown["starts_at"]), time(shown["ends_at"])) == (NOW, NOW + timedelta(hours=2))
    assert shown["never_hides"] == ["severity=critical"]
    assert (await client.get(f"{PATH}/{shown['id']}")).json() == shown
    [(key, value)] = (await ashore.bus.bucket(BUCKET).all()).items()
    stored = Silence.model_validate_json(value)
    assert (key, stored.id) == (shown["id"], shown["id"])
    assert json.loads(value)["matchers"] == shown["matchers"]


async def test_it_may_begin_later_and_end_at_a_time(client):
    pending = await add(client, starts_at=after(hours=1), ends_at=after(hours=3))
    assert (pending["state"], time(pending["ends_at"])) == ("pending", NOW + timedelta(hours=3))


async def test_the_list_says_what_ends_next_and_can_ask_for_states(client, clock):
    short = await add(client, ends_at=after(minutes=10))
    day = await add(client, ends_at=after(days=1))
    hour = await add(client, ends_at=after(hours=1))
    later = await add(client, starts_at=after(hours=3), ends_at=after(hours=4))
    clock.go_on(minutes=20)

    async def ids(**params):
        items = (await client.get(PATH, params=params)).json()["items"]
        return [item["id"] for item in items]

    assert await ids() == [hour["id"], later["id"], day["id"], short["id"]]
    assert await ids(state="expired") == [short["id"]]
    assert await ids(state=["pending", "active"]) == [hour["id"], later["id"], day["id"]]
    assert await ids(expiring_within="1h") == [hour["id"]]
    assert await ids(expiring_within="2d") == [hour["id"], day["id"]]


async def test_what_it_has_hidden_is_counted_from_the_history(on_clickhouse, full_client):
    shown = await add(full_client)
    assert (shown["hidden"], shown["last_matched_at"]) == (0, None)
    await on_clickhouse.after(*(suppressed(n, by=shown["id"]) for n in range(3)))
    counted = (await full_client.get(f"{PATH}/{shown['id']}")).json()
    assert counted["hidden"] == 3
    assert time(counted["last_matched_at"]) >= NOW


async def test_without_the_history_silences_are_set_and_the_count_is_unknown(client):
    assert (await add(client))["hidden"] is None


async def test_extending_keeps_the_identity_and_says_who_did_it(client, clock):
    first = await add(client)
    clock.go_on(hours=1)
    edit = {
        "ends_at": after(hours=5),
        "created_by": "chief",
        "comment": "longer than thought",
    }
    answer = await client.patch(f"{PATH}/{first['id']}", json=edit, headers={"X-Aiops-Actor": "c"})
    shown = answer.json()
    assert (shown["id"], shown["created_at"]) == (first["id"], first["created_at"])
    assert time(shown["ends_at"]) == NOW + timedelta(hours=5)
    assert (shown["created_by"], shown["comment"]) == ("chief", "longer than thought")
    assert (shown["updated_by"], time(shown["updated_at"])) == ("c", clock.now)


async def test_what_is_left_out_of_an_edit_stays(client):
    first = await add(client)
    shown = (await client.patch(f"{PATH}/{first['id']}", json={"created_by": "chief"})).json()
    assert (shown["ends_at"], shown["comment"]) == (first["ends_at"], first["comment"])


async def test_ending_it_is_at_once_and_twice_is_once(client, clock):
    first = await add(client)
    clock.go_on(minutes=5)
    over = (await client.delete(f"{PATH}/{first['id']}")).json()
    assert (over["state"], time(over["ends_at"])) == ("expired", clock.now)
    clock.go_on(minutes=5)
    assert (await client.delete(f"{PATH}/{first['id']}")).json() == over
    document = problem(
        await client.patch(f"{PATH}/{first['id']}", json={"ends_at": after(hours=1)}), 409
    )
    assert "add a new one" in str(document["detail"])


async def test_ending_one_that_has_not_begun_means_it_never_does(client):
    pending = await add(client, starts_at=after(hours=1))
    over = (await client.delete(f"{PATH}/{pending['id']}")).json()
    assert (over["state"], over["starts_at"]) == ("expired", over["ends_at"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matchers": []}, "body.matchers"),
        ({"matchers": ["devise=sw-1"]}, "there is no label devise"),
        ({"matchers": ["device_id=~(a+)+"]}, "could take too long"),
        ({"matchers": ["device_id=~.*"]}, "nearly everything"),
        ({"matchers": ["device_id!=sw-1"]}, "nearly everything"),
        ({"matchers": ["domain=net"]}, "domain alone is too broad"),
        (
            {"matchers": ["severity=critical", "device_id=sw-1"]},
            "severity=critical is never hidden",
        ),
        ({"matchers": ["anomaly_type=kernel_panic"]}, "anomaly_type=kernel_panic is never hidden"),
        (
            {"matchers": ["anomaly_type=~kernel_panic|credential_attack"]},
            "is never hidden: never_suppress of policies/correlate.yaml names it",
        ),
        ({"matchers": ["device=sw-1"]}, "there is no label device;"),
        ({"created_by": "  "}, "body.created_by"),
        ({"created_by": None}, "body.created_by"),
        ({"comment": None}, "body.comment"),
        ({"ends_at": None}, "body.ends_at"),
        ({"ends_at": "soon"}, "body.ends_at"),
        ({"ends_at": after(days=8)}, "lasts at most 7 days"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "must lie in the future"),
        ({"ends_at": "2030-01-01T00:00:00"}, "timezone"),
        ({"colour": "red"}, "body.colour"),
    ],
)
async def test_a_silence_that_may_not_be_is_refused_with_the_reason(ashore, client, changes, words):
    order = {k: v for k, v in (ORDER | changes).items() if v is not None}
    document = problem(await client.post(PATH, json=order), 422)
    assert words in str(document["detail"])
    assert await ashore.bus.bucket(BUCKET).all() == {}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({}, "give at least one of"),
        ({"ends_at": after(days=8)}, "lasts at most 7 days"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "must lie in the future"),
        ({"matchers": ["device_id=sw-2"]}, "body.matchers"),
    ],
)
async def test_an_edit_that_may_not_be_is_refused(client, edit, words):
    first = await add(client)
    document = problem(await client.patch(f"{PATH}/{first['id']}", json=edit), 422)
    assert words in str(document["detail"])
    assert (await client.get(f"{PATH}/{first['id']}")).json() == first


async def test_a_part_of_the_classes_that_are_never_hidden_is_said_not_refused(client):
    shown = await add(client, matchers=["anomaly_type=~.*_(attack|down)"])
    assert shown["never_hides"] == ["severity=critical", "anomaly_type=credential_attack"]


def few(ashore: Platform, clock: Clock) -> None:
    """No more than two from now on."""
    policy = ashore.components.suppress
    two = policy.model_copy(update={"silences": policy.silences.model_copy(update={"most": 2})})
    ashore.components = replace(
        ashore.components, silences=SilenceRepository(ashore.bus, two, clock)
    )


async def test_of_those_that_are_over_only_so_many_are_remembered(ashore, clock):
    few(ashore, clock)
    async with ashore.client() as client:
        for _ in range(4):
            newest = await add(client)
            clock.go_on(seconds=1)
            await client.delete(f"{PATH}/{newest['id']}")
        await ashore.components.silences.tidy()
        kept = (await client.get(PATH)).json()["items"]
    assert len(kept) == 2 and newest["id"] in [silence["id"] for silence in kept]


async def test_there_may_not_be_too_many(ashore, clock):
    few(ashore, clock)
    async with ashore.client() as client:
        first = await add(client)
        await add(client)
        problem(await client.post(PATH, json=ORDER), 409)
        await client.delete(f"{PATH}/{first['id']}")
        await add(client)


async def test_what_is_over_for_long_is_forgotten_and_nothing_else(ashore, client, clock):
    old = await add(client, ends_at=after(hours=1))
    clock.go_on(days=10)
    young = await add(client, ends_at=after(days=11))
    clock.go_on(days=5)
    await ashore.components.silences.tidy()
    assert [s.id for s in await ashore.components.silences.all()] == [young["id"]]
    problem(await client.get(f"{PATH}/{old['id']}"), 404)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_is_not_there_is_404(client, method):
    body = {"comment": "x"} if method == "PATCH" else None
    problem(await client.request(method, f"{PATH}/silence-nobody", json=body), 404)


async def test_viewers_may_look_and_preview_but_not_silence(on_clickhouse):
    headers = {"Authorization": "Bearer look-only-1"}
    async with on_clickhouse.client(tokens="viewer:look-only-1") as client:
        for path in (PATH, f"{PATH}/preview?matcher=device_id%3Dsw-1"):
            assert (await client.get(path, headers=headers)).status_code == 200
        problem(await client.post(PATH, json=ORDER, headers=headers), 403)


async def test_without_nats_nothing_is_silenced(ashore, client):
    ashore.bus.connected = False
    problem(await client.post(PATH, json=ORDER), 503)
    problem(await client.get(PATH), 503)


async def test_a_value_that_is_no_silence_hides_the_others_not(ashore, client, capsys):
    shown = await add(client)
    await ashore.bus.bucket(BUCKET).put("junk", b"{}")
    assert [s["id"] for s in (await client.get(PATH)).json()["items"]] == [shown["id"]]
    logged = capsys.readouterr()
    assert "junk" in logged.out + logged.err


def fresh(n: int, **fields: object) -> object:
    return enriched(n, device_id="sw-1", stages={"enrich": datetime.now(UTC)}, **fields)


async def test_a_preview_counts_what_would_have_been_hidden_and_what_never(
    on_clickhouse, full_client
):
    rack = AnomalyContext(device=Device(id="sw-1", labels={"rack": "r7"}))
    await on_clickhouse.after(
        fresh(1, context=rack),
        fresh(2, context=rack),
        fresh(3, severity="critical"),
        fresh(4, anomaly_type="disk_full"),
        detected(5, stages={"detect": datetime.now(UTC)}),
    )

    async def ask(*matchers: str) -> dict:
        answer = await full_client.get(f"{PATH}/preview", params={"matcher": matchers})
        assert answer.status_code == 200, answer.text
        found: dict = answer.json()
        return found

    found = await ask("device_id=sw-1", "anomaly_type=~link_.*")
    assert (found["anomalies"], found["hidden"], found["never_hidden"]) == (5, 2, 1)
    assert found["refused"] is None
    assert found["top"] == [
        {
            "anomaly_type": "link_down",
            "device_id": "sw-1",
            "service": "switchd",
            "severity": "high",
            "number": 2,
        }
    ]
    assert (await ask("label.rack=r7"))["hidden"] == 2
    assert (await ask("device_id=sw-9"))["hidden"] == 0
    assert "nearly everything" in (await ask("device_id!=sw-1"))["refused"]
    bad = await full_client.get(f"{PATH}/preview", params={"matcher": "devise=x"})
    assert "query.matcher: " in str(problem(bad, 422)["detail"])


async def test_every_rule_in_force_is_listed_also_those_that_never_matched(
    on_clickhouse, full_client, clock
):
    used, idle, over = [await add(full_client) for _ in range(3)]
    await full_client.delete(f"{PATH}/{over['id']}")
    await on_clickhouse.after(suppressed(1, by=used["id"]), suppressed(2, by="gone"))
    outage = LinkOutage(
        id="o1",
        device_id="modem-1",
        kind="quota",
        reason="volume used up",
        source="provider",
        start=NOW,
        end=NOW + timedelta(hours=1),
    )
    await on_clickhouse.bus.bucket("ship").put("outage.o1", outage.model_dump_json().encode())
    await on_clickhouse.components.ship.recover()
    said = (await full_client.get(f"{API}/stats/suppressions")).json()
    rules = {rule["rule"]: rule for rule in said["by_rule"]}
    assert set(rules) == {used["id"], idle["id"], "gone", "o1", "maintenance"}
    assert said["total"] == 2
    facts = {
        rule: (found["kind"], found["in_force"], found["hidden"], bool(found["last_matched_at"]))
        for rule, found in rules.items()
    }
    assert facts[used["id"]] == ("silence", True, 1, True)
    assert facts[idle["id"]] == ("silence", True, 0, False)
    assert facts["gone"] == ("rule", False, 1, True)
    assert facts["o1"] == ("outage", True, 0, False)
    assert facts["maintenance"] == ("maintenance", True, 0, False)
    assert rules["o1"]["reason"] == "modem-1: volume used up"


async def test_a_trace_says_who_hid_its_anomaly(on_clickhouse, full_client):
    fact = suppressed(0, by="no-power").model_copy(update={"kind": "inhibition", "source": "i7"})
    await on_clickhouse.after(detected(), enriched(), fact)
    trace = (await full_client.get(f"{API}/trace/t0")).json()
    assert trace["suppressed"] == {
        "by": "no-power",
        "kind": "inhibition",
        "reason": "the ship is in dock",
        "source": "i7",
    }
