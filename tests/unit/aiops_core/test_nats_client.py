"""What LeanClient does faster than nats-py, it does alike."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError

from aiops_core.adapters.nats_client import LeanClient, answer

NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=30)


async def disconnected() -> tuple[LeanClient, list[bytes]]:
    client, sent = LeanClient(), []

    async def keep(command: bytes, priority: bool = False) -> None:
        sent.append(command)

    client._max_payload = 1000
    client._max_pending_size = 2000
    client._send_command = keep  # type: ignore[method-assign]
    return client, sent


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.binary(max_size=20))
@example(
    [
        ("Nats-Msg-Id", "a/ANOMALIES/7/0"),
        ("a b", "no name"),
        ("Tab", "\tleft\t"),
        ("N", "\xa0"),
        ("\x1cx", ""),
    ],
    b"nonsense\r\n:x\r\n",
)
def test_headers_are_read_as_nats_py_reads_them(headers, rest):
    raw = "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + rest
    assert LeanClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


async def test_a_frame_is_what_nats_py_sends():
    client, sent = await disconnected()
    headers = {"Nats-Msg-Id": "a/ANOMALIES/7/0", "Aiops-Reason": "two\r\nlines"}
    await client.publish("anomaly.enriched", b"{}", headers=headers)
    [theirs] = sent
    ours = client.frame("anomaly.enriched", b"{}", headers)
    assert ours == theirs


async def test_what_the_broker_would_refuse_is_refused_here():
    client, _ = await disconnected()
    assert client.frame("s", bytes(900), {"a": "b"})
    with pytest.raises(MaxPayloadError):
        client.frame("s", bytes(990), {"a": "b"})


async def test_frames_go_in_one_piece():
    client, sent = await disconnected()
    await client.send([answer("$JS.ACK.1", b"+ACK"), answer("$JS.ACK.2", b"-NAK")])
    assert sent == [b"PUB $JS.ACK.1 4\r\n+ACK\r\nPUB $JS.ACK.2 4\r\n-NAK\r\n"]


async def test_an_answer_that_nobody_waits_for_any_more_is_no_error():
    client, _ = await disconnected()
    waiting: asyncio.Future[bool] = asyncio.Future()
    waiting.cancel()
    client._pongs, client._pings_outstanding = [waiting], 2
    await client._process_pong()
    assert (client._pongs, client._pings_outstanding) == ([], 0)


async def test_while_disconnected_only_as_much_waits_as_fits():
    client, sent = await disconnected()
    await client.send([bytes(1500)])
    client._pending_data_size = 1500
    with pytest.raises(OutboundBufferLimitError):
        await client.send([bytes(501)])
    assert len(sent) == 1


async def test_a_closed_client_says_so():
    client, _ = await disconnected()
    client._status = Client.CLOSED
    with pytest.raises(ConnectionClosedError):
        await client.send([b"PING\r\n"])
