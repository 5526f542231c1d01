"""The place of a delivery in the stream, from the address for its acknowledgement."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nats.aio.msg import Msg

from aiops_core.adapters.nats_inbox import NatsDelivery

INBOX = SimpleNamespace(stream="PIPELINE")
PLAIN = "$JS.ACK.PIPELINE.incident-api.1.4711.17.1700000000000000000.3"
WITH_DOMAIN = "$JS.ACK._.ACCHASH.PIPELINE.incident-api.2.4711.17.1700000000000000000.3"


@pytest.mark.parametrize("address", [PLAIN, WITH_DOMAIN, f"{WITH_DOMAIN}.random"])
def test_it_is_what_nats_py_reads_there(address):
    delivery = NatsDelivery(Msg(_client=None, reply=address), INBOX)
    assert delivery.sequence == delivery.msg.metadata.sequence.stream == 4711
    assert delivery.id == f"{delivery.msg.metadata.stream}/4711"
