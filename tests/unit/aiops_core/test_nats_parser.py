"""What LeanParser reads faster than nats-py, it reads alike, wherever the pieces end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from aiops_core.adapters.nats_parser import Frame, LeanParser

WORDS = st.text("abcdefg.$_*>-", min_size=1, max_size=12).map(str.encode)
BODIES = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"", b"\r\n", b"PING\r\n", b"MSG a 1 2\r\n"])
)


class Home:
    """Writes down what a parser makes of what comes."""

    def __init__(self, *direct: int) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.receivers = {str(sid).encode(): self.receive for sid in direct}

    def receive(self, frame: Frame) -> None:
        self.heard.append(("direct", *frame))

    async def _process_msg(self, *message: object) -> None:
        self.heard.append(message)

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))

    async def _process_pong(self) -> None:
        self.heard.append(("pong",))

    async def _process_err(self, reason: str) -> None:
        self.heard.append(("error", reason))

    async def _process_info(self, info: object) -> None:
        self.heard.append(("info", info))


@st.composite
def messages(draw):
    """One message as the broker sends it."""
    headers, body = draw(st.sampled_from([b"", b"NATS/1.0\r\nA: b\r\n\r\n"])), draw(BODIES)
    words = [draw(WORDS), str(draw(st.integers(1, 99))).encode()]
    words += [draw(WORDS)] if draw(st.booleans()) else []
    words += [str(len(headers)).encode()] if headers else []
    words += [str(len(headers) + len(body)).encode()]
    line = b" ".join([b"HMSG" if headers else b"MSG", *words])
    return line + b"\r\n" + headers + body + b"\r\n"


COMMANDS = st.sampled_from(
    [b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n", b'INFO {"port": 1}\r\n']
)


async def read(parser_of, pieces):
    home = Home()
    parser = parser_of(home)
    for piece in pieces:
        await parser.parse(piece)
    return home.heard


@given(st.lists(messages() | COMMANDS, max_size=6), st.lists(st.integers(0, 400), max_size=6))
async def test_it_reads_what_nats_py_reads_wherever_the_pieces_end(sent, cuts):
    whole = b"".join(sent)
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    pieces = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert await read(LeanParser, pieces) == await read(Parser, [whole])


async def test_what_has_a_receiver_goes_straight_to_it():
    home = Home(7)
    parser = LeanParser(home)
    await parser.parse(b"HMSG s 7 $JS.ACK.x 12 14\r\nNATS/1.0\r\n\r\n{}\r\nMSG s 8 2\r\nno\r\n")
    assert home.heard == [
        ("direct", b"s", b"$JS.ACK.x", b"NATS/1.0\r\n\r\n", b"{}"),
        (8, b"s", b"", b"no", None),
    ]


async def test_a_large_message_is_looked_at_when_it_is_complete():
    home = Home(1)
    parser = LeanParser(home)
    body = bytes(100_000)
    whole = b"MSG s 1 %d\r\n%b\r\n" % (len(body), body)
    for start in range(0, len(whole), 1000):
        await parser.parse(whole[start : start + 1000])
    assert home.heard == [("direct", b"s", b"", b"", body)]


async def test_what_came_before_a_reset_is_forgotten():
    home = Home(1)
    parser = LeanParser(home)
    await parser.parse(b"MSG s 1 100\r\nhalf of")
    parser.reset()
    await parser.parse(b"MSG s 1 2\r\n{}\r\n")
    assert home.heard == [("direct", b"s", b"", b"", b"{}")]


async def test_what_comes_with_the_end_of_a_connection_is_not_read():
    class Ended(Home):
        async def _process_err(self, reason: str) -> None:
            parser.reset()

    home = Ended(1)
    parser = LeanParser(home)
    await parser.parse(b"-ERR 'stale connection'\r\nMSG s 1 2\r\n{}\r\nMSG s")
    await parser.parse(b"PING\r\n")
    assert home.heard == [("ping",)]


@pytest.mark.parametrize("line", [b"MSG s", b"MSG s 1 two", b"HMSG s 1 2", b"HUH", b""])
async def test_what_is_no_protocol_is_refused(line):
    with pytest.raises(ProtocolError):
        await LeanParser(Home()).parse(line + b"\r\n")
