"""Sentences over the network → samples: datagrams, broken streams, damage, overload."""

import asyncio
import socket
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.ingest.flow import running
from aiops_cli.ingest.lines import LineOrigin
from aiops_cli.ingest.nmea import live
from aiops_cli.ingest.nmea.live import Listener, tcp, udp
from aiops_cli.nmea import address
from aiops_core.errors import Misconfigured, Unavailable
from tests.unit.aiops_cli.ingest.test_nmea import RMC, signed

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ORIGIN = LineOrigin("s1", "mux", "nmea", "nmea", {"gps-gp": "gps-01"})
SENTENCE = (signed(RMC) + "\r\n").encode()


class Sink:
    def __init__(self):
        self.got = []

    async def send(self, entries, raw=None):
        self.got += entries


@pytest.fixture
def listener():
    return Listener(ORIGIN, Sink(), lambda: NOW)


async def until(condition, within=5.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def metrics(listener):
    return {sample.metric for sample in listener._sink.got}


async def test_what_a_datagram_says_is_sent_as_of_its_arrival(listener):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with running([listener.run()]), udp(listener, "127.0.0.1", 0) as port:
            heading = (signed("HEHDT,274.1,T") + "\r\n").encode()
            sender.sendto(SENTENCE + heading, ("127.0.0.1", port))
            await until(lambda: "heading_true_deg" in metrics(listener))
    [valid] = [s for s in listener._sink.got if s.metric == "gps_valid"]
    assert (valid.ts, valid.host, valid.device_id) == (NOW, "mux", "gps-01")
    assert listener.stats.sentences == 2


async def test_a_multiplexer_that_goes_away_is_called_again(listener):
    told = []

    async def serve(_, writer):
        told.append(writer)
        writer.write(SENTENCE)
        await writer.drain()
        writer.close()  # each time

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = tcp(listener, "127.0.0.1", port, sleep=lambda _: asyncio.sleep(0.01))
        with capture_logs() as said:
            async with running([listener.run(), client]):
                await until(lambda: len(told) >= 3 and listener._sink.got)
    assert {entry["event"] for entry in said} == {"not connected", "hears again"}


async def test_nobody_there_is_told_once(listener):
    tries = []

    async def sleep(seconds):
        tries.append(seconds)
        await asyncio.sleep(0)

    with capture_logs() as said:
        async with running([tcp(listener, "127.0.0.1", 1, sleep=sleep)]):
            await until(lambda: len(tries) > 5)
    assert [entry["event"] for entry in said] == ["not connected"]
    assert tries[:5] == [1, 2, 5, 10, 10]


async def test_what_is_damaged_is_counted_and_quoted(listener):
    listener.take("10.0.0.9", b"$GPGLL,1,2*00\r\n\xff\r\n\r\n" + SENTENCE)
    await listener.flush()
    assert (listener.stats.sentences, listener.stats.refused) == (3, 2)
    assert listener.stats.newest_refusal.startswith("10.0.0.9: not an NMEA sentence")
    assert "gps_valid" in metrics(listener)


async def test_of_more_than_fits_the_oldest_are_lost_and_counted(listener, monkeypatch):
    for n in range(live.QUEUE + 5):
        listener.take("a", f"${n}".encode())
    await listener.flush()
    assert listener.stats.lost == 5
    assert listener.stats.sentences == live.QUEUE


async def test_senders_do_not_share_a_track(listener):
    far = signed(RMC.replace("5222.3215", "1222.3215")).encode()
    for sender, line in (("a", SENTENCE), ("b", far)):
        listener.take(sender, line)
    await listener.flush()
    assert "implied_speed_knots" not in metrics(listener)


async def test_a_port_that_is_taken_is_one_clear_line(listener):
    async with udp(listener, "127.0.0.1", 0) as port:
        with pytest.raises(Misconfigured, match=f"cannot listen on UDP 127.0.0.1:{port}"):
            async with udp(listener, "127.0.0.1", port):
                pass


async def test_a_loop_that_fails_ends_the_rest_with_its_reason():
    async def fail():
        raise Unavailable("no broker")

    with pytest.raises(Unavailable, match="no broker"):
        async with running([fail(), asyncio.Event().wait()]):
            await asyncio.sleep(5)


def test_addresses_of_multiplexers():
    assert address("mux") == ("mux", 10110)
    assert address("10.0.0.9:2000") == ("10.0.0.9", 2000)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tcp", "mux:x"], "write HOST or HOST:PORT"),
        (["--device", "gps"], "write NAME=ID"),
    ],
)
def test_what_is_asked_wrongly_is_said_so(words, why):
    done = CliRunner().invoke(app, ["nmea", *words])
    assert done.exit_code == 2
    assert why in " ".join(done.stderr.split())
