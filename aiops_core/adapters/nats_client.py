"""nats-py's client with less work per message, as each crosses it several times in every service:
a whole batch is handed over at once, and headers, which ours keep in order from the start, are
not examined letter by letter."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nats.aio.client import Client, __version__
from nats.aio.subscription import Subscription
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    OutboundBufferLimitError,
)

from aiops_core.adapters.nats_parser import Frame, LeanParser
from aiops_core.errors import Misconfigured

BLANKS = " \t\r\n\v\f"  # those of ASCII: str.strip() takes more
NEWLINES = {ord("\r"): " ", ord("\n"): " "}


SUPPORTED = "2.16."  # of nats-py: what is private there may change with any other


def check_version() -> None:
    """Raises Misconfigured when another nats-py is installed than the one whose private parts we
    use."""
    if not __version__.startswith(SUPPORTED):
        raise Misconfigured(
            f"nats-py {__version__} is installed, this release works with {SUPPORTED}x only"
        )


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """A cancellation that comes while the body runs is raised at its end, if nats-py has
    swallowed it (so does ``asyncio.wait_for`` before Python 3.12, when what it waits for is done
    in the same moment)."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


class LeanClient(Client):
    """Takes frames that are ready to be sent, passes on those that come as they are to who asks
    for that, and reads headers faster; nothing else differs."""

    def __init__(self) -> None:
        super().__init__()
        self.receivers: dict[bytes, Callable[[Frame], None]] = {}
        self._asked: dict[
            bytes, asyncio.Future[Frame]
        ] = {}  # by the last word of the reply address
        self._questions, self._answers = itertools.count(), ""
        self._ps = LeanParser(self)

    @property
    def abandoned(self) -> bool:
        """nats-py does nothing more for this connection: it has closed the client, or what
        reconnects has failed."""
        reconnecting = self._reconnection_task
        return self.is_closed or (
            self.is_reconnecting and reconnecting is not None and reconnecting.done()
        )

    async def close(self) -> None:
        """Also before it was connected."""
        if self._flush_queue is not None:
            await super().close()

    async def _process_pong(self) -> None:
        """nats-py's own ends the read loop when nobody waits for the answer any more."""
        with contextlib.suppress(asyncio.InvalidStateError):
            await super()._process_pong()
        self._pings_outstanding = 0

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        with cancellable():
            return await super()._flush_pending(force_flush)

    async def receive(self, subject: str, receiver: Callable[[Frame], None]) -> Subscription:
        """Subscribe *subject*; *receiver* is called with each message while it is read, so it
        must not take long. To be ended with ``Subscription.unsubscribe``."""
        subscription = await self.subscribe(subject, cb=_nowhere)
        self.receivers[str(subscription._id).encode()] = receiver
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self.receivers.pop(str(sid).encode(), None)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send *frames* in their order and in one go; raises what ``publish`` raises."""
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        data = b"".join(frames)
        if not self.is_connected and self._pending_data_size + len(data) > self._max_pending_size:
            raise OutboundBufferLimitError
        await self._send_command(data)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def ask(
        self, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> asyncio.Future[Frame]:
        """Send a message; the answer arrives in the future, which is to be cancelled when nobody
        waits any more."""
        if not self._answers:
            self._answers = self.new_inbox()
            await self.receive(f"{self._answers}.*", self._take_answer)
        question = str(next(self._questions))
        frame = self.frame(subject, data, headers, f"{self._answers}.{question}")
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[question.encode()] = answer
        answer.add_done_callback(lambda _: self._asked.pop(question.encode(), None))
        try:
            await self.send([frame])
        except BaseException:
            answer.cancel()
            raise
        return answer

    def give_up_answers(self) -> None:
        """The connection is lost: what was asked has no answer any more, the futures raise
        ConnectionClosedError."""
        for answer in list(self._asked.values()):
            if not answer.done():
                answer.set_exception(ConnectionClosedError())

    def _take_answer(self, frame: Frame) -> None:
        answer = self._asked.get(frame.subject.rpartition(b".")[2])
        if answer and not answer.done():
            answer.set_result(frame)

    def frame(
        self, subject: str, data: bytes, headers: Mapping[str, str], reply: str = ""
    ) -> bytes:
        """A message as it is sent (``HPUB``); raises MaxPayloadError for one that the broker
        would refuse."""
        lines = "".join(f"{name}: {_in_one_line(value)}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        size = len(head) + len(data)
        if size > self.max_payload:
            raise MaxPayloadError
        first = f"HPUB {subject} {reply} {len(head)} {size}\r\n".encode()
        return b"%b%b%b\r\n" % (first, head, data)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """``Name: value`` by line; a line without a colon or with a blank in its name is no
        header."""
        found = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.strip(BLANKS)
            if colon and name.isascii() and (name.split() == [name] or not name):
                found[name] = value.strip(BLANKS)
        return found


async def _nowhere(message: Any) -> None:
    """What has a receiver does not come here, but nats-py wants a way for it."""


def answer(reply: str, verdict: bytes) -> bytes:
    """A frame with *verdict* for the address *reply* (``PUB``)."""
    return b"PUB %b %d\r\n%b\r\n" % (reply.encode(), len(verdict), verdict)


def _in_one_line(value: str) -> str:
    return value if value.isprintable() else value.translate(NEWLINES)
