"""Storing messages in JetStream: a few of them one by one, many as one atomic batch.

The broker syncs its file after every message that comes alone, and once for a batch of any size, which it
gathers in memory before (``local/staging.py``; decision 14). On two cores an atomic batch takes some 2 ms, single
messages 0.25 ms each; a disk that is busy makes syncs ten times slower, and what piles up meanwhile goes together.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple
from uuid import uuid4

import nats.errors
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import PubAck

import aiops_core
from aiops_core.adapters.nats_client import LeanClient
from aiops_core.errors import Reject
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(name="nats", service="aiops_core", version=aiops_core.__version__)

ACK_TIMEOUT = 5.0  # seconds that a publication may wait for the broker's acknowledgement
WORTH_A_BATCH = 4  # letters; a batch costs the broker one sync and some bookkeeping in memory
LARGEST_BATCH = 500  # letters; the broker takes up to 1,000
BATCH_BYTES = 4 * 1024 * 1024  # after which a batch is closed: the broker writes it twice
DUPLICATE = 10201  # JetStream's code: the batch contains an id that is stored already

MSG_ID = "Nats-Msg-Id"
BATCH, PLACE, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
CAUSE = 3  # parts of an effect's id (service/stream/sequence/n) that name what caused it


class Letter(NamedTuple):
    """A message as it is stored; its headers carry its id."""

    subject: str
    data: bytes
    headers: Mapping[str, str]

    @property
    def cause(self) -> str:
        """What all effects of one message share; empty for what no message caused."""
        parts = self.headers.get(MSG_ID, "").split("/")
        return "/".join(parts[:CAUSE]) if len(parts) == CAUSE + 1 else ""


async def try_store(
    connection: LeanClient, js: JetStreamContext, letters: Sequence[Letter]
) -> Sequence[Letter]:
    """Store *letters*, which belong to one stream, in order; returns the letters from the first one on that is
    not known to be stored. Of the effects of one message a power cut leaves all or none. Raises Reject for one
    that is too large."""
    try:
        if len(letters) >= WORTH_A_BATCH or any(map(_belong_together, letters, letters[1:])):
            batch = _batch(letters)
            if await _store_together(connection, batch):
                return letters[len(batch) :]
        return await _store_singly(js, letters)
    except nats.errors.MaxPayloadError as exc:
        raise Reject(f"message is larger than the broker takes: {exc}") from exc
    except NatsError as exc:
        log.warning("publish failed, trying again", reason=_line(exc))
        return letters


async def _store_together(connection: LeanClient, letters: Sequence[Letter]) -> bool:
    """All or none, with one acknowledgement. False: none was stored, or some were stored before."""
    batch = uuid4().hex
    *first, last = enumerate(letters, 1)
    await connection.send(
        [
            connection.frame(
                letter.subject, letter.data, {**letter.headers, BATCH: batch, PLACE: str(place)}
            )
            for place, letter in first
        ]
    )
    place, letter = last
    headers = {**letter.headers, BATCH: batch, PLACE: str(place), COMMIT: "1"}
    try:
        answer = await connection.request(
            letter.subject, letter.data, timeout=ACK_TIMEOUT, headers=headers
        )
    except TimeoutError:  # of nats-py, also a NatsError: the ids of a second try keep it single
        return False
    return _accepted(json.loads(answer.data))


def _batch(letters: Sequence[Letter]) -> Sequence[Letter]:
    """The first of *letters*, as many as go together and whole causes if possible; at least one."""
    sizes = accumulate(len(letter.data) for letter in letters[:LARGEST_BATCH])
    most = end = max(sum(size <= BATCH_BYTES for size in sizes), 1)
    while 0 < end < len(letters) and _belong_together(letters[end - 1], letters[end]):
        end -= 1
    return letters[: end or most]


def _belong_together(one: Letter, next: Letter) -> bool:
    return one.cause == next.cause != ""


def _accepted(answer: Mapping[str, object]) -> bool:
    error = answer.get("error")
    if isinstance(error, dict):
        if error.get("err_code") != DUPLICATE:  # which is usual after a reconnection
            log.warning("batch refused, one by one then", reason=error.get("description"))
        return False
    return True


async def _store_singly(js: JetStreamContext, letters: Sequence[Letter]) -> Sequence[Letter]:
    sent: list[asyncio.Future[PubAck]] = []
    try:
        for subject, data, headers in letters:
            sent.append(await js.publish_async(subject, data, headers=dict(headers)))
        await asyncio.wait(sent, timeout=ACK_TIMEOUT)
    except NatsError as exc:
        if isinstance(exc, nats.errors.MaxPayloadError):
            raise
        log.warning("publish failed, trying again", reason=_line(exc))
    stored = next((n for n, future in enumerate(sent) if not _is_stored(future)), len(sent))
    for future in sent[stored:]:
        future.cancel()
        if future.done() and not future.cancelled():
            log.warning("publish refused, trying again", reason=_line(future.exception()))
    return letters[stored:]


def _is_stored(future: asyncio.Future[PubAck]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _line(exc: BaseException | None) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
