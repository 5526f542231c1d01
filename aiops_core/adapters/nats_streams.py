"""The streams of the broker: which subjects lie in which, with which limits, and what they hold."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StoreCompression, StreamConfig
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_connection import ANSWER_WITHIN, FAILURES, unavailable
from aiops_core.models import (
    AnomalyCleared,
    AnomalyDetected,
    AnomalyDigested,
    AnomalySuppressed,
    EnrichedAnomaly,
    LinkObserved,
)
from aiops_core.policy.retention import StreamLimits, Streams
from aiops_core.runtime.bus import Stored

LOGS, ANOMALIES, INCIDENTS, OPS = "LOGS", "ANOMALIES", "INCIDENTS", "OPS"

# INCIDENTS has the facts from which services rebuild their state. Bulk has a stream of its own:
# under load it would push out facts that are still needed (decision 18).
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    LOGS: ("logs.>", "metrics.>"),
    ANOMALIES: (
        *(AnomalyDetected.subject, EnrichedAnomaly.subject, AnomalyDigested.subject),
        LinkObserved.subject,
    ),
    INCIDENTS: ("incidents.>", AnomalySuppressed.subject, AnomalyCleared.subject, "actions.>"),
    OPS: ("ops.>", "dead.>"),
}
# Compressed on disk, to a fifth. LOGS and ANOMALIES are not: it cost 5 % of their throughput
# (decision 18).
COMPRESSED = (INCIDENTS, OPS)
DUPLICATE_WINDOW = timedelta(minutes=2)

PAGE = 500  # messages that a reader fetches at once
ABANDONED = 60  # seconds after which the broker deletes the consumer of a reader that died

# Compared with the configuration that the broker has; it fills in the rest itself.
_COMPARED = ("max_age", "max_bytes", "allow_atomic", "compression")


@lru_cache
def stream_of(subject: str) -> str:
    """The stream that holds *subject*; raises LookupError when none does."""
    if stream := _holder(subject):
        return stream
    raise LookupError(f"no stream holds {subject}")


def _holder(subject: str) -> str | None:
    for name, patterns in SUBJECTS.items():
        if any(_covers(pattern, subject) for pattern in patterns):
            return name
    return None


def by_stream(subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """*subjects* by stream."""
    names = dict.fromkeys(map(stream_of, subjects))
    return {name: tuple(s for s in subjects if stream_of(s) == name) for name in names}


def configs(limits: Streams) -> list[StreamConfig]:
    """The configuration of every stream."""
    by_name = {
        LOGS: limits.logs,
        ANOMALIES: limits.anomalies,
        INCIDENTS: limits.incidents,
        OPS: limits.ops,
    }
    return [_config(name, subjects, by_name[name]) for name, subjects in SUBJECTS.items()]


async def ensure_streams(js: JetStreamContext, limits: Streams) -> None:
    """Create or update all streams; several processes may do it at once."""
    for config in configs(limits):
        await _ensure(js, config)


async def _ensure(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        info = await js.stream_info(config.name or "")
    except NotFoundError:
        await js.add_stream(config)
        return
    kept = {*(config.subjects or ()), *_of_others(info.config)}
    config = replace(config, subjects=sorted(kept))
    if differ(info.config, config):
        await js.update_stream(config)


def _of_others(found: StreamConfig) -> list[str]:
    """Subjects unknown to this release: a later one added them and may publish on them."""
    return [subject for subject in found.subjects or () if not _holder(subject)]


def differ(found: StreamConfig, wanted: StreamConfig) -> bool:
    return set(found.subjects or ()) != set(wanted.subjects or ()) or any(
        getattr(found, name) != getattr(wanted, name) for name in _COMPARED
    )


def _config(name: str, subjects: Sequence[str], limits: StreamLimits) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=list(subjects),
        max_age=limits.max_age.total_seconds(),
        max_bytes=limits.max_bytes,
        duplicate_window=DUPLICATE_WINDOW.total_seconds(),
        allow_atomic=True,
        compression=StoreCompression.S2 if name in COMPRESSED else StoreCompression.NONE,
    )


def _covers(pattern: str, subject: str) -> bool:
    return subject == pattern or (
        pattern.endswith(">") and subject.startswith(pattern.removesuffix(">"))
    )


async def read(
    js: JetStreamContext, stream: str, wanted: ConsumerConfig
) -> AsyncGenerator[Msg, None]:
    """The messages that *wanted* selects, in the order of the stream. Its consumer exists only
    meanwhile."""
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
