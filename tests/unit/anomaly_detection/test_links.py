"""Lines that name a neighbour -> links; of one pair one an hour, of one sender not many."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from aiops_core.models import AnomalyDetected, LinkObserved, LogEntry, Message
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.entries import SENDER
from aiops_core.normaliser.normaliser import normalise
from aiops_core.runtime.bus import Stored
from anomaly_detection.handler import DetectionHandler
from anomaly_detection.links import PER_HOUR, LinkReader
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.said_links import ROWS, Row, SaidLink, said_link
from tests.conftest import NOON, ROOT
from tests.runtime_cases import received

CDP = ROWS[0].sample
HOUR = timedelta(hours=1)


def said(text: str) -> SaidLink | None:
    return said_link(text, {})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind} {row.far}")
def test_every_row_reads_its_line_and_no_other_row_reads_it(row: Row):
    link = said(row.sample)
    assert link is not None
    assert (link.kind, link.far) == (row.kind, row.far)
    assert row.word in row.sample.lower()
    others = [other for other in ROWS if other is not row and other.word in row.sample.lower()]
    assert not [other.sample for other in others if other.regex.search(row.sample)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind} {row.far}")
def test_a_line_is_read_as_well_behind_its_header(row: Row):
    raw = f"<189>Nov 30 11:50:14 dev-1 daemon[7]: {row.sample}"
    parsed = normalise(raw, NOON, SenderContext())
    link = said_link(parsed.msg, parsed.labels)
    assert (parsed.host, link and link.far) == ("dev-1", row.far)


@pytest.mark.parametrize(
    ("text", "needs", "port"),
    [
        ("Interface Gi1/0/24 (uplink to sw-core-01), changed state to down", "near", "Gi1/0/24"),
        ("port 7 [Downlink_sw-acc-3] is up", "far", "7"),
        ("Interface ge-0/0/1 (link to fw-2) is down", "", "ge-0/0/1"),
        ("cam-deck3 names nobody", None, None),
    ],
)
def test_the_text_of_a_port_tells_the_uplink(text, needs, port):
    link = said(text)
    assert (link and link.needs, link and link.port) == (needs, port)


@pytest.mark.parametrize(
    "text",
    [
        "Interface GigabitEthernet1/0/24, changed state to down",
        "%LINK-3-UPDOWN: Interface Gi1/0/3, changed state to up",
        "neighbor table overflow",
        "LLDP neighbor information was changed on port 7",
        "joined the domain ship.local",
        "user joined channel (uplink to nowhere)",
        (
            'GET "/?q=%CDP-4-DUPLEX_MISMATCH: duplex mismatch discovered on Gi1 (not half duplex),'
            ' with fw-1 eth0 (half duplex)." 404'
        ),
        f'client says "{CDP}"',
        "DHCPACK on 10.20.7.91 to 00:11:22:33:44:55 (tv) via eth0",
        "BGP-5-ADJCHANGE: neighbor nobody",
        "x" * 700 + CDP,
        "",
    ],
)
def test_other_lines_and_what_others_wrote_name_no_link(text):
    assert said(text) is None


def test_long_hostile_lines_take_no_time():
    hostile = [row.sample[: len(row.sample) // 2] * 200 for row in ROWS]
    hostile += ["port " * 300 + "link " * 100, "ap[" * 400, "(uplink-" * 200, "a-" * 500 + "link"]
    started = time.process_time()
    for text in hostile:
        said(text)
    assert (time.process_time() - started) / len(hostile) < 0.05


# -- which become messages ------------------------------------------------------------------------

SENDING = {"sw-acc-09": "sw-acc-09", "sw-core-01": "SW-Core-01"}


def reader(kept: int = 100) -> LinkReader:
    return LinkReader(kept, lambda ship, name: SENDING.get(name))


def line(msg: str = CDP, host: str = "sw-acc-09", after: timedelta = timedelta(), **more: object):
    at = NOON + after
    fields = {"tracking_id": "t", "ship_id": "s", "ts": NOON, "stages": {"ingest": at}}
    return LogEntry(**fields, host=host, msg=msg, **more)


def test_a_link_has_the_names_of_senders_and_who_said_it():
    [link] = reader().observe(line(labels={SENDER: "10.0.0.9"}))
    assert isinstance(link, LinkObserved)
    assert (link.device, link.far, link.port) == (
        "sw-acc-09",
        "SW-Core-01",
        "GigabitEthernet1/0/14",
    )
    assert (link.sender, link.sending) == ("10.0.0.9", ("sw-acc-09", "SW-Core-01"))
    assert link.said == "sw-acc-09 names SW-Core-01 at GigabitEthernet1/0/14 (CDP)"
    [unknown] = reader().observe(line("eth0: adding default route via 10.0.0.1", "pi"))
    assert (unknown.sending, unknown.needs) == ((), "near")


def test_a_pair_is_told_once_an_hour_and_a_device_never_with_itself():
    heard = reader()
    told = [len(heard.observe(line(after=n * HOUR / 4))) for n in range(9)]
    assert told == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert not reader().observe(line(host="SW-CORE-01"))


def test_a_sender_that_invents_neighbours_is_heard_a_hundred_times_an_hour():
    heard, told = reader(kept=50), 0
    for n in range(3000):
        text = CDP.replace("sw-core-01", f"ghost-{n}")
        told += len(heard.observe(line(text, after=n * HOUR / 3000)))
    assert PER_HOUR <= told <= 2 * PER_HOUR
    [memory] = heard.memories
    assert len(memory.state) == 50
    assert heard.observe(line(host="other")), "other senders are heard"


def test_what_was_told_is_as_before_after_a_snapshot():
    before, after = reader(), reader()
    before.observe(line())
    for part in before.memories[0].parts():
        after.memories[0].restore(part)
    assert not after.observe(line(after=HOUR / 2))
    assert after.observe(line(after=HOUR))


# -- on the way through detection -----------------------------------------------------------------

POLICY = DetectPolicy.load(ROOT / "policies").using(Packs.of(()))


def handled(*lines: LogEntry) -> list[list[Message]]:
    """The messages of each line, live; the same come from a replay after a kill."""
    live, after_kill = DetectionHandler(POLICY), DetectionHandler(POLICY)
    found = []
    for n, one in enumerate(lines, start=1):
        envelope = received(one, sequence=n, at=NOON)
        found.append(list(asyncio.run(live(envelope))))
        stored = Stored(one.subject, one.model_dump_json().encode(), NOON, n, {})
        after_kill.replay(stored, acknowledged=False, ticks=False)
        assert list(after_kill.replayed.get(n, ())) == found[-1]
    return found


def test_a_line_names_its_neighbour_beside_what_is_wrong_with_it():
    fault = line(CDP, "sw-acc-09", level="error")
    hello, first, again = handled(line("hello", "sw-core-01"), fault, fault.but(tracking_id="u"))
    kinds = [[type(message) for message in messages] for messages in (hello, first, again)]
    assert kinds[0] == []
    assert kinds[1][-1] is LinkObserved
    assert AnomalyDetected in kinds[1]
    assert LinkObserved not in kinds[2]
    assert first[-1].sending == ("sw-acc-09", "sw-core-01")


def test_a_failure_of_reading_links_costs_no_finding(monkeypatch):
    def broken(self, line):
        raise RuntimeError("a bug")

    monkeypatch.setattr(LinkReader, "observe", broken)
    [messages] = handled(line(CDP, level="error"))
    assert [type(message) for message in messages] == [AnomalyDetected]
