"""The durable consumer of one group in one stream: it is created, watched, and created again."""

from __future__ import annotations

import asyncio
import contextlib

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    SequenceInfo,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_bucket import NatsBucket
from aiops_core.adapters.nats_connection import NatsConnection, cancellable
from aiops_core.adapters.nats_offsets import ACK_FLOORS, AckFloor, Look, Overtaken
from aiops_core.errors import Unavailable
from aiops_core.observability import metrics
from aiops_core.observability.probe import DISCARDED
from aiops_core.runtime.backoff import Reminder
from aiops_core.runtime.unreadable import skip
from aiops_core.utils import core_logger

log = core_logger("consumer")

ACK_WAIT = 5.0  # seconds after which the broker delivers an unacknowledged message again
STORE_EVERY = 5.0  # seconds between two writes of the ack floor


class DurableConsumer:
    """The broker delivers at most *max_ack_pending* messages that are not acknowledged."""

    def __init__(
        self,
        connection: NatsConnection,
        group: str,
        stream: str,
        subjects: tuple[str, ...],
        max_ack_pending: int,
    ) -> None:
        self.stream, self.group = stream, group
        self.ack_floor = AckFloor()
        self._key = f"{stream}.{group}"  # in the bucket
        self._connection, self._subjects = connection, subjects
        self._max_ack_pending = max_ack_pending
        self._bucket = NatsBucket(connection, ACK_FLOORS)
        self._retried: set[int] = set()  # sequences that the broker will deliver again later
        self._overtaken = Overtaken()
        self._losses = metrics.DISCARDED.labels(stream, group)
        self._reminder = Reminder()

    async def ensure(self) -> bool:
        """Create the consumer at the group's ack floor, or update it. Creates the streams if this
        one is gone. True when the stream is not the former one."""
        js, generation = self._connection.js, self.ack_floor.generation
        stream = await self._stream_info()
        last = stream.state.last_seq
        self.ack_floor.in_stream(stream.created, last)
        try:
            found = await js.consumer_info(self.stream, self.group)
            config = found.config
            self._raise_floor(found)
        except NotFoundError:
            await self._load_floor(last)
            config = _from(self.ack_floor.next).evolve(durable_name=self.group)
        await js.add_consumer(
            self.stream,
            config,
            filter_subjects=list(self._subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_ack_pending=self._max_ack_pending,
        )
        if generation == self.ack_floor.generation:
            return False
        self._retried.clear()
        self._overtaken = Overtaken()
        return True

    async def _stream_info(self) -> StreamInfo:
        try:
            return await self._connection.js.stream_info(self.stream)
        except NotFoundError:
            await self._connection.ensure_streams()
            return await self._connection.js.stream_info(self.stream)

    async def _load_floor(self, last: int) -> None:
        """From the bucket, for a stream that ends at *last*."""
        if last:
            value = await self._bucket.get(self._key)
            try:
                self.ack_floor.load(value, last)
            except (ValueError, KeyError, TypeError) as exc:
                skip("nats.ack_floors", self._key, exc)

    def _raise_floor(self, info: ConsumerInfo) -> None:
        self.ack_floor.raise_to(info.ack_floor.stream_seq if info.ack_floor else 0)

    async def info(self) -> ConsumerInfo:
        """Its state; also counts the messages that the stream has discarded unread."""
        with cancellable():
            state = (await self._connection.js.stream_info(self.stream)).state
            info: ConsumerInfo = await self._connection.js.consumer_info(self.stream, self.group)
        self._raise_floor(info)
        given = info.delivered or SequenceInfo(0, 0)
        pending = info.num_pending or 0
        now = Look(state.first_seq, state.last_seq, given.stream_seq, given.consumer_seq, pending)
        never_again = {sequence for sequence in self._retried if sequence < state.first_seq}
        self._retried -= never_again
        if lost := self._overtaken.look(now) + len(never_again):
            self.discarded(lost)
        return info

    def discarded(self, messages: int) -> None:
        """The stream has discarded so many unread *messages*: count, log once a minute."""
        self._losses.inc(messages)
        DISCARDED[self.stream, self.group] += messages
        if self._reminder.due():
            log.error(
                "unread messages discarded",
                stream=self.stream,
                consumer=self.group,
                count=DISCARDED[self.stream, self.group],
            )

    def delivered(self, sequence: int) -> None:
        self._retried.discard(sequence)

    def retried(self, sequence: int) -> None:
        """The broker will deliver it again after a delay, unless the stream discards it."""
        self._retried.add(sequence)

    async def keep_ack_floor(self) -> None:
        """Write it to the bucket from time to time; never returns."""
        while True:
            await asyncio.sleep(STORE_EVERY)
            if value := self.ack_floor.to_store:
                with contextlib.suppress(Unavailable):
                    await self._bucket.put(self._key, value)
                    self.ack_floor.stored(value)


def _from(sequence: int) -> ConsumerConfig:
    if sequence == 1:
        return ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=sequence)
