"""What the broker sends in place of a message."""

from __future__ import annotations

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from aiops_core.adapters.nats_pull import PullStatus


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n", PullStatus("100", None)),
        (
            b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 12\r\n\r\n",
            PullStatus("408", 12),
        ),
        (b"NATS/1.0 409 Consumer Deleted\r\n\r\n", PullStatus("409", None, gone=True)),
        (b"NATS/1.0 503\r\n\r\n", PullStatus("503", None, gone=True)),
        (b"NATS/1.0\r\nNats-Msg-Id: a b\r\n\r\n", None),
        (b"", None),
    ],
)
async def test_a_status_says_what_is_left_of_the_request(headers, status):
    client = Client()
    message = Msg(client, headers=await client._process_headers(headers))
    assert PullStatus.of(message) == status
