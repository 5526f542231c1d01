"""Sentences over the network → samples: datagrams, broken streams, damage, overload."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.ingest.flow import running
from aiops_cli.ingest.lines import LineOrigin
from aiops_cli.ingest.nmea import live
from aiops_cli.ingest.nmea.live import Listener, tcp, udp
from aiops_cli.nmea import address, multicast
from aiops_core.errors import Misconfigured, Unavailable
from tests.conftest import tcp_server
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


HEADING = signed("HEHDT,274.1,T").encode()
FRAMES = [
    b"UdPbC\0\\s:GP0001,n:12*1E\\" + HEADING + b"\r\n",
    b"UdPbC\0" + HEADING + b"\r\n",
    b"UdPbC\0\\g:1-2-34,s:HE0001,n:1*00\\\\s:HE0001*00\\" + HEADING + b"\r",
    b"\\s:HE0001,c:1717243200*00\\" + HEADING + b"\0",
]


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_datagram_of_a_bridge_is_understood(listener, frame):
    """IEC 61162-450: the word UdPbC, NUL, tag blocks, sentence."""
    listener.take("mux", frame)
    await listener.flush()
    assert metrics(listener) == {"heading_true_deg"}
    assert listener.stats.refused == 0


async def test_a_wrong_checksum_within_a_datagram_is_counted_and_elsewhere_refused(listener):
    listener.take("mux", b"UdPbC\0$HEHDT,274.1,T*00\r\n$HEHDT,274.2,T*00\r\n")
    await listener.flush()
    assert [one.value for one in listener._sink.got] == [274.1]
    assert (listener.stats.wrong_sums, listener.stats.refused) == (1, 1)


async def test_a_multicast_group_is_joined(listener):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        async with (
            running([listener.run()]),
            udp(listener, "0.0.0.0", 0, ["239.192.0.1"]) as port,
        ):
            sender.sendto(FRAMES[0], ("127.0.0.1", port))
            await until(lambda: "heading_true_deg" in metrics(listener))


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
async def test_lines_of_a_stream_end_as_they_like(listener, end):
    async def serve(_, writer):
        writer.write(HEADING + end + signed("HEHDT,275.1,T").encode() + end)
        await writer.drain()
        await until(lambda: listener.stats.sentences == 2)

    async with (
        tcp_server(serve) as port,
        running([listener.run(), tcp(listener, "127.0.0.1", port)]),
    ):
        await until(lambda: listener.stats.sentences == 2)
    assert listener.stats.refused == 0


async def test_a_receiver_that_lost_weeks_is_noticed(listener):
    lost = (NOW - timedelta(weeks=1024)).strftime("%d%m%y")
    body = f"GPRMC,120000.00,A,5222.3215,N,00454.5778,E,12.5,251.3,{lost},,,A"
    listener.take("mux", signed(body).encode())
    await listener.flush()
    [error] = [s for s in listener._sink.got if s.metric == "gps_date_error_days"]
    assert (error.value, error.ts) == (7168, NOW)


@pytest.mark.parametrize("text", ["10.0.0.1", "239.192.0", "ff02::1"])
def test_a_group_is_a_multicast_address(text):
    with pytest.raises(typer.BadParameter, match=r"239\.192\.0\.1"):
        multicast(text)


async def test_a_multiplexer_that_goes_away_is_called_again(listener):
    told = []

    async def serve(_, writer):
        told.append(writer)
        writer.write(SENTENCE)  # then it goes away, each time

    async with tcp_server(serve) as port:
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
