"""Reads what a stream holds now, by a consumer that exists only meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from aiops_core.adapters.nats_connection import ANSWER_WITHIN, FAILURES

PAGE = 500  # messages
ABANDONED = 60  # seconds after which the broker deletes the consumer of a reader that died


async def read(
    js: JetStreamContext, stream: str, wanted: ConsumerConfig
) -> AsyncGenerator[Msg, None]:
    """The messages that *wanted* selects, in the order of the stream."""
    config = replace(
        wanted, ack_policy=AckPolicy.NONE, inactive_threshold=ABANDONED, mem_storage=True
    )
    info = await js.add_consumer(stream, config)
    left = info.num_pending or 0
    reader = await js.pull_subscribe_bind(info.name, stream)
    try:
        while left > 0:
            for message in await reader.fetch(min(left, PAGE), timeout=ANSWER_WITHIN):
                left -= 1
                yield message
    finally:
        with contextlib.suppress(*FAILURES):
            await reader.unsubscribe()
            await js.delete_consumer(stream, info.name)
