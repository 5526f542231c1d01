"""What a delivery and a status say, from the frame that the broker sent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nats.aio.msg import Msg

from aiops_core.adapters.nats_inbox import NatsDelivery, Status
from aiops_core.adapters.nats_parser import Frame

INBOX = SimpleNamespace(stream="INCIDENTS", progress=SimpleNamespace(life=1))
PLAIN = "$JS.ACK.INCIDENTS.incident-api.1.4711.17.1700000000123456789.3"
WITH_DOMAIN = "$JS.ACK._.ACCHASH.INCIDENTS.incident-api.2.4711.17.1700000000123456789.3"


@pytest.mark.parametrize("address", [PLAIN, WITH_DOMAIN, f"{WITH_DOMAIN}.random"])
def test_it_is_what_nats_py_reads_there(address):
    frame = Frame(b"anomaly.detected", address.encode(), b"", b"{}")
    delivery, theirs = NatsDelivery(frame, INBOX, 1.0), Msg(_client=None, reply=address).metadata
    assert delivery.sequence == theirs.sequence.stream == 4711
    assert delivery.id == f"{theirs.stream}/4711"
    assert delivery.attempt == theirs.num_delivered
    assert delivery.at == theirs.timestamp
    assert (delivery.subject, delivery.data) == ("anomaly.detected", b"{}")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n", Status("100", None)),
        (
            b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 12\r\nNats-Pending-Bytes: 0\r\n\r\n",
            Status("408", 12),
        ),
        (b"NATS/1.0 503\r\n\r\n", Status("503", None, gone=True)),
        (b"NATS/1.0\r\nNats-Msg-Id: a b\r\n\r\n", None),
        (b"", None),
    ],
)
def test_a_status_says_what_is_left_of_the_request(headers, status):
    assert Status.of(Frame(b"_INBOX.1", b"", headers, b"")) == status
