"""Requests to the broker whose answers are futures, so that many may be open at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError


class OpenRequests:
    """Of one client. nats-py's ``publish_async`` drops answers that report an error."""

    def __init__(self, client: Client) -> None:
        self._client, self._inbox = client, ""
        self._numbers = itertools.count()
        self._futures: dict[str, asyncio.Future[Msg]] = {}  # by the last token of the reply address

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> asyncio.Future[Msg]:
        """Publish a message; the future is to be cancelled when nobody waits for it any more."""
        if not self._inbox:
            inbox = self._client.new_inbox()
            await self._client.subscribe(f"{inbox}.*", cb=self._receive)
            self._inbox = inbox
        number = str(next(self._numbers))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._futures[number] = future
        future.add_done_callback(lambda _: self._futures.pop(number, None))
        try:
            await self._client.publish(subject, data, f"{self._inbox}.{number}", dict(headers))
        except BaseException:
            future.cancel()
            raise
        return future

    async def _receive(self, answer: Msg) -> None:
        future = self._futures.get(answer.subject.rpartition(".")[2])
        if future and not future.done():
            future.set_result(answer)

    def give_up(self) -> None:
        """The connection is lost: every future raises ConnectionClosedError."""
        for future in list(self._futures.values()):
            if not future.done():
                future.set_exception(ConnectionClosedError())
