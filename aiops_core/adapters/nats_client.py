"""nats-py's client with less work per message, as each crosses it several times in every service: a whole batch is
handed over at once, and headers, which ours keep in order from the start, are not examined letter by letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    OutboundBufferLimitError,
)

from aiops_core.adapters.nats_parser import Frame, LeanParser

BLANKS = " \t\r\n\v\f"  # those of ASCII: str.strip() takes more
NEWLINES = {ord("\r"): " ", ord("\n"): " "}


class LeanClient(Client):
    """Takes frames that are ready to be sent, passes on those that come as they are to who asks for that, and reads
    headers faster; nothing else differs."""

    def __init__(self) -> None:
        super().__init__()
        self.receivers: dict[bytes, Callable[[Frame], None]] = {}
        self._ps = LeanParser(self)

    async def receive(self, subject: str, receiver: Callable[[Frame], None]) -> Subscription:
        """Subscribe *subject*; *receiver* is called with each message while it is read, so it must not take long.
        To be ended with ``Subscription.unsubscribe``."""
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

    def frame(self, subject: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        """A message as it is sent (``HPUB``); raises MaxPayloadError for one that the broker would refuse."""
        lines = "".join(f"{name}: {_in_one_line(value)}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        size = len(head) + len(data)
        if size > self.max_payload:
            raise MaxPayloadError
        return b"%b%b%b\r\n" % (f"HPUB {subject} {len(head)} {size}\r\n".encode(), head, data)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """``Name: value`` by line; a line without a colon or with a blank in its name is no header."""
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
