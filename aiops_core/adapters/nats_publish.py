"""Publishing to JetStream: a few messages one by one, many as one atomic batch.

The broker syncs its file after every single message, and once for a batch of any size (decision
14). On two cores a single message takes 0.25 ms; a busy disk makes syncs ten times slower.

All effects of one message (a cause) always go in one batch, so that a power cut leaves all or
none of them. The broker refuses a whole batch when one id in it is stored already; then each cause
goes as a batch of its own. If that one is refused too, its messages go one by one: they are stored
already (unless the handler has changed since), or the broker is older than 2.14 and takes no ids
in a batch. A cause of more than ``LARGEST_BATCH`` messages or ``BATCH_BYTES`` is cut.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple
from uuid import uuid4

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NoAnswer
from nats.js.api import Header, PubAck
from nats.js.errors import APIError, NoStreamResponseError

from aiops_core.adapters.nats_connection import NatsConnection, cancellable
from aiops_core.errors import Reject
from aiops_core.runtime.bus import LARGEST, REASON, SOURCE, SUBJECT, Delivery, Outgoing, too_large

ACK_TIMEOUT = 5.0  # seconds that a publication may wait for the broker's acknowledgement
WORTH_A_BATCH = 16  # messages; the broker stages a batch on disk first, fewer are faster alone
LARGEST_BATCH = 500  # messages; the broker takes up to 1,000
BATCH_BYTES = 4 * 1024 * 1024  # after which a batch is closed: the broker writes it twice
# JetStream's codes: an id of the batch is stored already; ids are not supported in a batch.
DUPLICATE, UNSUPPORTED = 10201, 10177
NO_RESPONDERS = "503"

MSG_ID = "Nats-Msg-Id"
BATCH, PLACE, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
TRUNCATED = "Aiops-Truncated-From"  # of a dead letter: bytes of the original
CAUSE = 3  # parts of an effect's id (service/stream/sequence/n) that name its cause


class PreparedMessage(NamedTuple):
    """A message as it is stored; its headers carry its id."""

    subject: str
    data: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.headers.get(MSG_ID, "")

    @property
    def cause(self) -> str:
        """The same for all effects of one message; empty for a message without a cause."""
        parts = self.id.split("/")
        return "/".join(parts[:CAUSE]) if len(parts) == CAUSE + 1 else ""

    @property
    def size(self) -> int:
        """Bytes that the broker compares with ``max_payload``, the headers of a batch included."""
        return len(self.data) + 128 + sum(len(f"{k}: {v}\r\n") for k, v in self.headers.items())


Batch = Sequence[PreparedMessage]  # stored together or not at all; often of one message
Answer = PubAck | NatsError


def prepared(outgoing: Outgoing) -> PreparedMessage:
    """Raises Reject when it is larger than consumers take."""
    message = outgoing.message
    data = message.model_dump_json().encode()
    if len(data) > LARGEST:
        raise too_large(message.subject, len(data))
    return PreparedMessage(message.subject, data, {MSG_ID: outgoing.id})


def dead_letter(delivery: Delivery, owner: str, reason: str, max_payload: int) -> PreparedMessage:
    """The original bytes, with the reason and where they came from.

    Two consumers of one *owner* make one dead letter: they give it the same id.
    """
    headers = {
        MSG_ID: f"{owner}/{delivery.id}/dead",
        REASON: _header(reason),
        SUBJECT: delivery.subject,
        SOURCE: delivery.id,
    }
    data, most = delivery.data, max_payload - 4096
    if len(data) > most:
        headers[TRUNCATED] = str(len(data))
    return PreparedMessage(f"dead.{owner}", data[:most], headers)


async def store(connection: NatsConnection, messages: Sequence[PreparedMessage]) -> set[str]:
    """Store *messages*, which belong to one stream, in order, however long it takes. Returns the
    ids that were new."""
    if not messages:
        return set()
    publication = Publication(messages)
    operation = f"publish to {messages[0].subject}"
    await connection.persistently(operation, lambda: publication.store_rest(connection))
    return publication.new


class Publication:
    """Messages on their way into one stream. *new* are the ids that the stream did not have.

    An id is new also when the acknowledgement of the first try was lost and the second try finds
    the message stored.
    """

    def __init__(self, messages: Sequence[PreparedMessage]) -> None:
        self.new: set[str] = set()
        self._largest = max(message.size for message in messages)
        self._batches = _batches(messages)
        self._unsure: set[str] = set()  # ids that were sent and not acknowledged

    async def store_rest(self, connection: NatsConnection) -> None:
        """Store what is left, or raise the error of nats-py; then it may be called again.

        Raises Reject when a message is too large.
        """
        if self._largest > connection.client.max_payload:
            raise Reject(f"a message of {self._largest} bytes is larger than the broker takes")
        while self._batches:
            sent = self._batches[: _together(self._batches)]
            answers = await _answers(connection, sent)
            left = [self._left(batch, answer) for batch, answer in zip(sent, answers, strict=True)]
            self._batches[: len(sent)] = [batch for batches in left for batch in batches]
            for batch, answer in zip(sent, answers, strict=True):
                if isinstance(answer, NatsError) and not _refused_as_batch(batch, answer):
                    raise answer

    def _left(self, batch: Batch, answer: Answer) -> list[Batch]:
        """What of *batch* is still to be stored after *answer*."""
        ids = {message.id for message in batch}
        if isinstance(answer, PubAck):
            self.new |= ids & self._unsure if answer.duplicate else ids
            return []
        if _refused_as_batch(batch, answer):
            return _split(batch)
        if not isinstance(answer, APIError | NoStreamResponseError):
            self._unsure |= ids
        return [batch]


async def _answers(connection: NatsConnection, batches: Sequence[Batch]) -> list[Answer]:
    """Send all *batches*; return the broker's answer to each, or why there is none."""
    sent: list[asyncio.Future[Msg]] = []
    problem: NatsError = NoAnswer()
    try:
        try:
            for batch in batches:
                sent.append(await _send(connection, batch))
        except NatsError as exc:
            problem = exc
        if sent:
            await asyncio.wait(sent, timeout=ACK_TIMEOUT)
        answers = [_answer(future) if future.done() else problem for future in sent]
        return answers + [problem] * (len(batches) - len(sent))
    finally:
        for future in sent:
            future.cancel()


async def _send(connection: NatsConnection, batch: Batch) -> asyncio.Future[Msg]:
    """Several messages are an atomic batch: the broker acknowledges the last."""
    *first, last = batch
    headers = dict(last.headers)
    if first:
        batch_id = uuid4().hex
        for n, message in enumerate(first, 1):
            of_batch = {**message.headers, BATCH: batch_id, PLACE: str(n)}
            await connection.publish(message.subject, message.data, headers=of_batch)
        headers |= {BATCH: batch_id, PLACE: str(len(batch)), COMMIT: "1"}
    with cancellable():
        return await connection.requests.send(last.subject, last.data, headers)


def _answer(future: asyncio.Future[Msg]) -> Answer:
    if isinstance(exc := future.exception(), NatsError):
        return exc
    message = future.result()
    if (message.headers or {}).get(Header.STATUS) == NO_RESPONDERS:
        return NoStreamResponseError()
    try:
        said = json.loads(message.data)
        error = said.get("error")
        if error:
            return APIError(error.get("code"), error.get("description"), error.get("err_code"))
        return PubAck.from_response(said)
    except (ValueError, AttributeError, TypeError):
        return NatsError("nats: an acknowledgement that cannot be read")


def _batches(messages: Sequence[PreparedMessage]) -> list[Batch]:
    """*messages* as they are tried first."""
    batches: list[Batch] = []
    rest = messages
    while len(rest) >= WORTH_A_BATCH or any(map(_same_cause, rest, rest[1:])):
        batches.append(_first_batch(rest))
        rest = rest[len(batches[-1]) :]
    return batches + [[message] for message in rest]


def _first_batch(messages: Sequence[PreparedMessage]) -> Batch:
    """As many as go together, of whole causes if possible; at least one."""
    sizes = accumulate(len(message.data) for message in messages[:LARGEST_BATCH])
    most = end = max(sum(size <= BATCH_BYTES for size in sizes), 1)
    while 0 < end < len(messages) and _same_cause(messages[end - 1], messages[end]):
        end -= 1
    return messages[: end or most]


def _split(batch: Batch) -> list[Batch]:
    """*batch* by causes; one cause by messages."""
    cuts = [n for n in range(1, len(batch)) if not _same_cause(batch[n - 1], batch[n])]
    cuts = cuts or list(range(1, len(batch)))
    return [batch[start:end] for start, end in zip([0, *cuts], [*cuts, len(batch)], strict=True)]


def _together(batches: Sequence[Batch]) -> int:
    """How many of *batches* may be in flight at once; at least one."""
    return max(sum(n <= LARGEST_BATCH for n in accumulate(map(len, batches))), 1)


def _same_cause(one: PreparedMessage, next: PreparedMessage) -> bool:
    return one.cause == next.cause != ""


def _refused_as_batch(batch: Batch, answer: NatsError) -> bool:
    codes = (DUPLICATE, UNSUPPORTED)
    return len(batch) > 1 and isinstance(answer, APIError) and answer.err_code in codes


def _header(text: str) -> str:
    return " ".join(text.split())[:1000].encode("ascii", "backslashreplace").decode()
