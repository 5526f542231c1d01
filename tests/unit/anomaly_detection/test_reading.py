"""Raw lines become entries, and the spellings of a device become one name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.inventory.names import DeviceNames
from aiops_core.models import Level, LogEntry
from anomaly_detection import reading
from anomaly_detection.reading import EntryReader
from tests.conftest import line, sample

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
OWN = ("local", "*.local", "lan")


def reader(kept=100, failures=None):
    def on_failure(name, exc):
        assert failures is not None, exc
        failures.append(name)

    return EntryReader(kept, OWN, on_failure)


def raw(text, **fields):
    given = {"host": "10.1.0.7", "msg": "as Vector read it", "labels": {"sender": "10.1.0.7"}}
    msg = fields.pop("msg", given.pop("msg"))
    at = {"stages": {"ingest": NOW}}
    return line(msg, **(given | at | fields), raw=text)


def test_what_a_line_states_replaces_what_the_way_in_said():
    read = reader().read(raw("<11>Nov 30 11:59:00 srv-1 /usr/sbin/cron[3]: no space left"))
    assert isinstance(read, LogEntry)
    assert (read.host, read.device_id, read.service) == ("srv-1", "srv-1", "cron")
    assert (read.level, read.msg) == (Level.ERROR, "no space left")
    assert f"{read.ts:%H:%M:%S}" == "11:59:00"
    assert read.labels["sender"] == "10.1.0.7" and read.raw is None


def test_what_a_line_does_not_state_is_of_its_sender_and_its_arrival():
    read = reader().read(raw("a line that is nothing"))
    assert (read.host, read.device_id, read.service) == ("10.1.0.7", "10.1.0.7", "syslog")
    assert (read.msg, read.ts, read.tracking_id) == ("a line that is nothing", NOW, "l0")


def test_a_name_too_long_for_a_message_is_cut():
    host = "h" * 300
    read = reader().read(raw(json.dumps({"msg": "hello", "host": host, "service": host})))
    assert (read.host, read.service) == (host[:255], host[:255])
    LogEntry.model_validate_json(read.model_dump_json())


def test_a_message_of_the_platform_itself_stays_as_it_is():
    for entry in (line("hello"), sample(5)):
        assert reader().read(entry) is entry


def test_a_failure_of_the_normaliser_leaves_what_the_way_in_has_read(monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    failures: list[str] = []
    monkeypatch.setattr(reading, "normalise", broken)
    read = reader(failures=failures).read(raw("anything"))
    assert (read.msg, read.raw, failures) == ("as Vector read it", None, ["normaliser"])


def test_senders_and_names_are_bounded():
    made = reader(kept=10)
    for n in range(100):
        made.read(raw("hello", labels={"sender": f"10.1.1.{n}"}, host=f"h{n}"))
    assert [len(memory.state) for memory in made.memories] == [10, 10]


def test_a_device_has_one_name_the_one_that_was_seen_first():
    made = reader()
    spellings = ["SW-CORE-8", "sw-core-8", "sw-core-8.ship.local", "Sw-Core-8.LAN"]
    read = [made.read(line("hello", host=host)) for host in spellings]
    assert {entry.device_id or entry.host for entry in read} == {"SW-CORE-8"}
    assert [entry.host for entry in read] == spellings
    assert made.read(sample(5, host="x", device_id="sw-core-8")).device_id == "SW-CORE-8"
    elsewhere = made.read(line("hello", host="sw-core-8", ship_id="another"))
    assert (elsewhere.device_id or elsewhere.host) == "sw-core-8"


def test_both_memories_are_as_before_after_a_snapshot():
    lines = [f"<14>{NOW:%b %d %H:%M:%S} {host} app: hello" for host in ("NAS-1", "nas-1", "ups-2")]
    before, after = reader(), reader()
    for text in lines:
        before.read(raw(text))
    for old, new in zip(before.memories, after.memories, strict=True):
        state = {key: value for part in old.parts() for key, value in part.items()}
        new.restore(json.loads(json.dumps(state)))
    more = [
        raw(text, stages={"ingest": NOW + timedelta(seconds=n)}) for n, text in enumerate(lines)
    ]
    assert [*map(after.read, more)] == [*map(before.read, more)]
    assert after.read(raw(lines[1])).device_id == "NAS-1"


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("SW-CORE-8", "sw-core-8"),
        ("sw-core-8.ship.local", "sw-core-8"),
        ("sw-core-8.local.", "sw-core-8"),
        ("sw-core-8.deck.ship.local", "sw-core-8.deck.ship.local"),
        ("www.example.com", "www.example.com"),
        ("10.1.0.7", "10.1.0.7"),
        ("FE80::1", "fe80::1"),
        ("Bridge PC 1", "bridge pc 1"),
        ("rack/1/sw-2", "rack/1/sw-2"),
        ("ap[5](deck)+*", "ap[5](deck)+*"),
        ("\u043a\u0430\u043c\u0431\u0443\u0437", "\u043a\u0430\u043c\u0431\u0443\u0437"),
        ("acu-\U0001f4e1", "acu-\U0001f4e1"),
        (".local", ".local"),
        ("local", "local"),
    ],
)  # fmt: skip
def test_a_name_is_whole_but_for_its_case_and_the_domain_of_the_ship(name, one):
    assert DeviceNames(OWN).one(name) == one
    assert DeviceNames(()).one(name) == name.casefold()
