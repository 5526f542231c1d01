"""Reads out PIPELINE, the stream that a former release had in place of INCIDENTS and ANOMALIES.

Each new stream begins as a mirror of its part of PIPELINE. The broker copies, keeps the sequence and the time of every
message, and goes on where it was after a kill. Then the new stream gets the durable consumers of PIPELINE at their
positions and becomes a stream of its own; at last PIPELINE is deleted. Every step may be repeated, by several
processes at once. Nobody publishes meanwhile: the subjects belong to no stream until the copy is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from nats.js.errors import NotFoundError

import aiops_core
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(name="nats", service="aiops_core", version=aiops_core.__version__)

FORMER = "PIPELINE"
BULK = "ANOMALIES"
# Of anomalies everything that some consumer has not settled is copied, and what enrichment-service reads again on
# start: an hour while ClickHouse is away.
READ_AGAIN = timedelta(hours=1)
LOOK_EVERY = 0.2  # seconds between looks at the copy

Say = Callable[[str], None]


async def read_out(js: JetStreamContext, wanted: Sequence[StreamConfig], say: Say) -> None:
    """Make the streams *wanted* out of PIPELINE, if there is one. Raises what nats-py raises; called again it goes on."""
    try:
        former = (await js.stream_info(FORMER)).config
    except NotFoundError:
        return
    if former.subjects != [FORMER]:
        await js.update_stream(replace(former, subjects=[FORMER]))
    log.info("reading out the stream of a former release", stream=FORMER)
    groups = [info async for info in _durables(js)]
    for config in wanted:
        await _begin(js, config, groups)
    for config in wanted:
        await _copied(js, config, say)
        await _promote(js, config, groups)
    with suppress(NotFoundError):  # another process has come first
        await js.delete_stream(FORMER)
    log.info("read out", stream=FORMER)


async def _begin(
    js: JetStreamContext, config: StreamConfig, groups: Sequence[ConsumerInfo]
) -> None:
    """Create the stream as a mirror, unless it exists."""
    try:
        await js.stream_info(config.name or "")
    except NotFoundError:
        last = await _last(js, config.subjects or ())
        start = await _start(js, last, groups) if config.name == BULK else 1
        await js.add_stream(_mirror(config, start))


async def _copied(js: JetStreamContext, config: StreamConfig, say: Say) -> None:
    """Return when the mirror has all of its part."""
    name = config.name or ""
    while (info := await js.stream_info(name)).mirror:
        here, last = info.state.last_seq, await _last(js, config.subjects or ())
        if here >= last:
            return
        say(f"copying from the former stream {FORMER} to {name}: {here}/{last}")
        await asyncio.sleep(LOOK_EVERY)


async def _promote(
    js: JetStreamContext, config: StreamConfig, groups: Sequence[ConsumerInfo]
) -> None:
    """Give the mirror its consumers, then its subjects."""
    info = await js.stream_info(config.name or "")
    if not info.mirror:
        return
    for group in groups:
        subjects = [s for s in _subjects(group) if any(_fits(s, p) for p in config.subjects or ())]
        if subjects:
            await _move(js, config.name or "", group, subjects, info.state.last_seq)
    await js.update_stream(config)


async def _move(
    js: JetStreamContext, stream: str, group: ConsumerInfo, subjects: Sequence[str], last: int
) -> None:
    """Sequences are those of PIPELINE. After *last* nothing came, so that what comes next is new."""
    try:
        await js.consumer_info(stream, group.name)
    except NotFoundError:
        config = ConsumerConfig(
            durable_name=group.name,
            filter_subjects=list(subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=group.config.ack_wait,
            max_ack_pending=group.config.max_ack_pending,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=min(_settled(group), last) + 1,
        )
        await js.add_consumer(stream, config)


def _mirror(config: StreamConfig, start: int) -> StreamConfig:
    parts = [SubjectTransform(src=subject, dest=subject) for subject in config.subjects or ()]
    source = StreamSource(name=FORMER, opt_start_seq=start, subject_transforms=parts)
    return replace(config, subjects=None, allow_atomic=None, mirror=source)


async def _start(js: JetStreamContext, last: int, groups: Sequence[ConsumerInfo]) -> int:
    """Where the copy of the anomalies begins. At least their last is copied: it sets the sequence of the new stream."""
    settled = [
        _settled(group)
        for group in groups
        if any(s.startswith("anomaly.") for s in _subjects(group))
    ]
    since = datetime.now(UTC) - READ_AGAIN
    return max(min(*settled, await _before(js, since), last - 1) + 1, 1)


async def _before(js: JetStreamContext, since: datetime) -> int:
    """The sequence of the last message that was stored before *since*."""
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=since,
        inactive_threshold=10,
        mem_storage=True,
    )
    info = await js.add_consumer(FORMER, config)
    return info.delivered.stream_seq if info.delivered else 0


async def _last(js: JetStreamContext, subjects: Sequence[str]) -> int:
    """The sequence of the last message on any of *subjects*, 0 when there is none."""
    found = [0]
    for subject in subjects:
        try:
            found.append((await js.get_last_msg(FORMER, subject)).seq or 0)
        except NotFoundError:
            continue
    return max(found)


async def _durables(js: JetStreamContext) -> AsyncIterator[ConsumerInfo]:
    offset = 0
    while page := await js.consumers_info(FORMER, offset):
        for info in page:
            if info.config.durable_name:
                yield info
        offset += len(page)


def _settled(group: ConsumerInfo) -> int:
    return group.ack_floor.stream_seq if group.ack_floor else 0


def _subjects(group: ConsumerInfo) -> Sequence[str]:
    one = group.config.filter_subject
    return group.config.filter_subjects or ([one] if one else [])


def _fits(subject: str, pattern: str) -> bool:
    return subject == pattern or (pattern.endswith(">") and subject.startswith(pattern[:-1]))
