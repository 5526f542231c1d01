"""Files → a sink, at a steady rate or as fast as it accepts, in bounded memory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from aiops_cli.ingest.files import BlankLine, RefusedLine, check
from aiops_cli.ingest.flow import InFlightLimit, RateLimiter
from aiops_cli.ingest.formats import Format
from aiops_cli.ingest.lines import AcceptedLine, LineOrigin, Now, Outcome, outcomes
from aiops_cli.ingest.sink import MessageSink
from aiops_core.errors import AiopsError
from aiops_core.runtime.service import utc_now

BATCH = 500  # lines that are read and sent together when no rate is given
IN_FLIGHT = 20_000  # lines of up to 1 KiB, sent and not confirmed: 50 MB measured, with their rows
REFUSED_KEPT = 100  # the first refused lines; the others are counted
GRACE = 5.0  # seconds after Ctrl-C in which what is in flight may still be confirmed


@dataclass
class ReplaySummary:
    """What became of the lines: ``read == accepted + refused_total + skipped``.

    One line of a ship's instruments may be several *messages*.
    """

    read: int = 0
    accepted: int = 0
    sent: int = 0
    messages: int = 0
    skipped: int = 0
    refused_total: int = 0
    refused: list[RefusedLine] = field(default_factory=list)
    characters: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problem: str | None = None

    @property
    def unconfirmed(self) -> int:
        """Lines that may have arrived or not, because the replay ended before their answer."""
        return self.accepted - self.sent

    def count(self, outcome: Outcome) -> None:
        self.read += 1
        if isinstance(outcome, AcceptedLine):
            self.accepted += 1
            self.characters += len(outcome.raw) + 1
        elif isinstance(outcome, BlankLine):
            self.skipped += 1
        else:
            self.refused_total += 1
            if len(self.refused) < REFUSED_KEPT:
                self.refused.append(outcome)


Progress = Callable[[ReplaySummary], None]


async def replay(
    files: Sequence[Path],
    sink: MessageSink,
    *,
    ship_id: str,
    rate: float | None = None,
    host: str | None = None,
    devices: Mapping[str, str] | None = None,
    wanted: Format = Format.AUTO,
    limit: int | None = None,
    now: Now = utc_now,
    progress: Progress = lambda summary: None,
    stop: asyncio.Event | None = None,
) -> ReplaySummary:
    """Send every line of *files* through *sink*; raises Misconfigured before the first one.

    *host* is the host of lines that name none, by default this machine. *devices* maps names of
    instruments to ids of the inventory. *limit* is in lines read. After *stop* is set, what is in
    flight may still arrive for GRACE seconds; the summary says how far the replay came.
    """
    check(files)
    host = host or socket.gethostname()
    lines = (outcomes(p, LineOrigin.of(p, ship_id, host, devices), now, wanted) for p in files)
    stream = islice(chain.from_iterable(lines), limit)
    limiter = RateLimiter(rate) if rate else None
    return await _Replay(stream, sink, limiter, progress, stop or asyncio.Event()).run()


class _Replay:
    def __init__(
        self,
        stream: Iterator[Outcome],
        sink: MessageSink,
        limiter: RateLimiter | None,
        progress: Progress,
        stop: asyncio.Event,
    ) -> None:
        self._stream, self._sink, self._limiter = stream, sink, limiter
        self._progress, self._stop = progress, stop
        self._summary = ReplaySummary()
        self._in_flight = InFlightLimit(IN_FLIGHT)
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> ReplaySummary:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(group))
            stopping = group.create_task(self._stop.wait())
            await asyncio.wait({feeding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            feeding.cancel()
            # All deliveries, or those that end within GRACE once the replay is to stop.
            while self._deliveries and not stopping.done():
                await asyncio.wait(
                    {*self._deliveries, stopping}, return_when=asyncio.FIRST_COMPLETED
                )
            if self._deliveries:
                await asyncio.wait(self._deliveries, timeout=GRACE)
            for task in (*self._deliveries, stopping):
                task.cancel()
        self._summary.interrupted = self._stop.is_set() and not self._summary.problem
        self._summary.seconds = time.monotonic() - began
        return self._summary

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        while True:
            due = await self._limiter.allowance() if self._limiter else BATCH
            batch = await asyncio.to_thread(list, islice(self._stream, due))
            if not batch:
                return
            for outcome in batch:
                self._summary.count(outcome)
            accepted = [outcome for outcome in batch if isinstance(outcome, AcceptedLine)]
            units = sum(1 + len(line.raw) // 1024 for line in accepted)
            await self._in_flight.acquire(units)
            delivery = group.create_task(self._deliver(accepted, units))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
            self._progress(self._summary)

    async def _deliver(self, accepted: Sequence[AcceptedLine], units: int) -> None:
        try:
            pairs = [(entry, line.raw) for line in accepted for entry in line.entries]
            await self._sink.send([entry for entry, _ in pairs], [raw for _, raw in pairs])
            self._summary.sent += len(accepted)
            self._summary.messages += len(pairs)
            self._progress(self._summary)
        except AiopsError as exc:
            self._summary.problem = str(exc)
            self._stop.set()
        finally:
            self._in_flight.release(units)
