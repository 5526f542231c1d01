"""Storing messages in JetStream: a few of them one by one, many as one atomic batch.

The broker syncs its file after every message that comes alone, and once for a batch of any size
(decision 14). On two cores single messages take 0.25 ms each; a disk that is busy makes syncs ten
times slower, and what piles up meanwhile goes together.

All effects of one message (a cause) always go in one batch, so that a power cut leaves all or
none of them. A batch is refused whole when one id in it is stored already; then each cause goes
as a batch of its own. Only when that one is refused too are its messages sent singly: they are
stored already, all of them unless the handler has changed since, or the broker is older than 2.14
and takes no ids in a batch. Causes of more than ``LARGEST_BATCH`` messages or ``BATCH_BYTES`` are
cut.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple
from uuid import uuid4

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import APIError, NoStreamResponseError

from aiops_core.adapters.nats_client import LeanClient
from aiops_core.adapters.nats_parser import Frame
from aiops_core.errors import Reject

ACK_TIMEOUT = 5.0  # seconds that a publication may wait for the broker's acknowledgement
WORTH_A_BATCH = 16  # letters; the broker gathers a batch on disk first, fewer are faster one by one
LARGEST_BATCH = 500  # letters; the broker takes up to 1,000
BATCH_BYTES = 4 * 1024 * 1024  # after which a batch is closed: the broker writes it twice
# JetStream's codes: an id of the batch is stored already; ids are not supported in a batch.
DUPLICATE, UNSUPPORTED = 10201, 10177
NO_RESPONDERS = b"NATS/1.0 503"

MSG_ID = "Nats-Msg-Id"
BATCH, PLACE, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
CAUSE = 3  # parts of an effect's id (service/stream/sequence/n) that name what caused it


class Letter(NamedTuple):
    """A message as it is stored; its headers carry its id."""

    subject: str
    data: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.headers.get(MSG_ID, "")

    @property
    def cause(self) -> str:
        """What all effects of one message share; empty for what no message caused."""
        parts = self.id.split("/")
        return "/".join(parts[:CAUSE]) if len(parts) == CAUSE + 1 else ""


class Stored(NamedTuple):
    """The broker's acknowledgement; *duplicate*: it had a message with this id."""

    duplicate: bool


Part = Sequence[Letter]  # what is stored together or not at all
Answer = Stored | NatsError


class Storing:
    """Letters on their way into one stream, in order. *new* are the ids of those that the stream
    did not have before: also when the acknowledgement of the first try was lost, so that the
    second finds them stored."""

    def __init__(self, letters: Sequence[Letter]) -> None:
        self.new: set[str] = set()
        self._parts = _parts(letters)
        self._unsure: set[str] = (
            set()
        )  # ids that were sent, and nobody knows whether they are stored

    async def go_on(self, client: LeanClient) -> None:
        """Store what is left, or raise why the broker did not: an error of nats-py, after which
        this may be called again. Raises Reject for a letter that is too large."""
        while self._parts:
            sent = self._parts[: _together(self._parts)]
            answers = await _answers(client, sent)
            left = [self._left(part, answer) for part, answer in zip(sent, answers, strict=True)]
            self._parts[: len(sent)] = [part for parts in left for part in parts]
            for part, answer in zip(sent, answers, strict=True):
                if isinstance(answer, NatsError) and not _refused_as_batch(part, answer):
                    raise answer

    def _left(self, part: Part, answer: Answer) -> list[Part]:
        """What of *part* is still to be stored after *answer*."""
        ids = {letter.id for letter in part}
        if isinstance(answer, Stored):
            self.new |= ids & self._unsure if answer.duplicate else ids
            return []
        if _refused_as_batch(part, answer):
            return _apart(part)
        if not isinstance(answer, APIError | NoStreamResponseError):
            self._unsure |= ids
        return [part]


async def _answers(client: LeanClient, parts: Sequence[Part]) -> list[Answer]:
    """Send all *parts*; return what the broker says to each."""
    sent: list[asyncio.Future[Frame]] = []
    problem: NatsError = NoAnswer()
    try:
        try:
            for part in parts:
                sent.append(await _send(client, part))
        except MaxPayloadError as exc:
            raise Reject(f"message is larger than the broker takes: {exc}") from exc
        except NatsError as exc:
            problem = exc
        if sent:
            await asyncio.wait(sent, timeout=ACK_TIMEOUT)
        answers = [_answer(future) if future.done() else problem for future in sent]
        return answers + [problem] * (len(parts) - len(sent))
    finally:
        for future in sent:
            future.cancel()


async def _send(client: LeanClient, part: Part) -> asyncio.Future[Frame]:
    """A part of several letters is an atomic batch: all or none, with one acknowledgement."""
    *first, last = part
    headers = dict(last.headers)
    if first:
        batch = uuid4().hex
        frames = [
            client.frame(
                letter.subject, letter.data, {**letter.headers, BATCH: batch, PLACE: str(n)}
            )
            for n, letter in enumerate(first, 1)
        ]
        await client.send(frames)
        headers |= {BATCH: batch, PLACE: str(len(part)), COMMIT: "1"}
    return await client.ask(last.subject, last.data, headers)


def _answer(future: asyncio.Future[Frame]) -> Answer:
    if isinstance(exc := future.exception(), NatsError):
        return exc
    frame = future.result()
    if frame.headers.startswith(NO_RESPONDERS):
        return NoStreamResponseError()
    try:
        said = json.loads(frame.data)
        error = said.get("error")
    except (ValueError, AttributeError):
        return NatsError("nats: an acknowledgement that cannot be read")
    if error:
        return APIError(error.get("code"), error.get("description"), error.get("err_code"))
    return Stored(bool(said.get("duplicate")))


def _parts(letters: Sequence[Letter]) -> list[Part]:
    """*letters* as they are tried first."""
    parts: list[Part] = []
    rest = letters
    while len(rest) >= WORTH_A_BATCH or any(map(_belong_together, rest, rest[1:])):
        parts.append(_batch(rest))
        rest = rest[len(parts[-1]) :]
    return parts + [[letter] for letter in rest]


def _batch(letters: Sequence[Letter]) -> Part:
    """The first of *letters*, as many as go together and whole causes if possible; at least one."""
    sizes = accumulate(len(letter.data) for letter in letters[:LARGEST_BATCH])
    most = end = max(sum(size <= BATCH_BYTES for size in sizes), 1)
    while 0 < end < len(letters) and _belong_together(letters[end - 1], letters[end]):
        end -= 1
    return letters[: end or most]


def _apart(part: Part) -> list[Part]:
    """*part* by causes; one cause by letters."""
    cuts = [n for n in range(1, len(part)) if not _belong_together(part[n - 1], part[n])]
    cuts = cuts or list(range(1, len(part)))
    return [part[start:end] for start, end in zip([0, *cuts], [*cuts, len(part)], strict=True)]


def _together(parts: Sequence[Part]) -> int:
    """How many of *parts* may be under way at once; at least one."""
    return max(sum(n <= LARGEST_BATCH for n in accumulate(map(len, parts))), 1)


def _belong_together(one: Letter, next: Letter) -> bool:
    return one.cause == next.cause != ""


def _refused_as_batch(part: Part, answer: NatsError) -> bool:
    codes = (DUPLICATE, UNSUPPORTED)
    return len(part) > 1 and isinstance(answer, APIError) and answer.err_code in codes
