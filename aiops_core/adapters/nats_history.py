"""Reads what streams hold now, by consumers that exist only meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import datetime

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from aiops_core.adapters.nats_connection import ANSWER_WITHIN, FAILURES, unavailable
from aiops_core.runtime.bus import Stored

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


async def history(
    js: JetStreamContext, stream: str, subjects: Sequence[str], since: datetime | None
) -> AsyncGenerator[Stored, None]:
    """Raises Unavailable when the broker goes away meanwhile."""
    config = ConsumerConfig(
        filter_subjects=list(subjects),
        deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL,
        opt_start_time=since,
    )
    with unavailable(f"the history of {stream} broke off"):
        async with aclosing(read(js, stream, config)) as messages:
            async for message in messages:
                meta = message.metadata
                headers, sequence = message.headers or {}, meta.sequence.stream
                yield Stored(message.subject, message.data, meta.timestamp, sequence, headers)


async def in_order(histories: Sequence[AsyncGenerator[Stored, None]]) -> AsyncIterator[Stored]:
    """Merge the messages of several streams by the time at which they were stored."""
    async with AsyncExitStack() as stack:
        for history in histories:
            await stack.enter_async_context(aclosing(history))
        heads = {n: one for n, h in enumerate(histories) if (one := await anext(h, None))}
        while heads:
            n = min(heads, key=lambda n: heads[n].at)
            yield heads.pop(n)
            if one := await anext(histories[n], None):
                heads[n] = one
