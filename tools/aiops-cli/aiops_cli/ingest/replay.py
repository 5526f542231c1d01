"""Files and pipes → a sink, at a steady rate or as fast as it accepts, in bounded memory.

What a pipe or a growing file gives is sent when it pauses, so that a line never waits for others.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, takewhile
from pathlib import Path

from aiops_cli.ingest.files import BlankLine, Pause, RefusedLine, check, check_ends
from aiops_cli.ingest.flow import InFlightLimit, RateLimiter
from aiops_cli.ingest.formats import Format
from aiops_cli.ingest.lines import (
    AcceptedLine,
    LineOrigin,
    Now,
    OnUnderstood,
    Outcome,
    outcomes,
    states_time,
)
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

    *repeated* lines were sent by an earlier replay, and are not sent again. One line of a ship's
    instruments may be several *messages*.
    """

    read: int = 0
    accepted: int = 0
    sent: int = 0
    repeated: int = 0
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
        return self.accepted - self.sent - self.repeated

    def count(self, outcome: Outcome) -> None:
        if isinstance(outcome, Pause):
            return
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
    follow: bool = False,
    again: bool = False,
    as_now: bool = False,
    understood: OnUnderstood = lambda text: None,
    now: Now = utc_now,
    progress: Progress = lambda summary: None,
    stop: asyncio.Event | None = None,
) -> ReplaySummary:
    """Send every line of *files* through *sink*; raises Misconfigured before the first one.

    *host* is the host of lines that name none, by default this machine. *devices* maps names of
    instruments to ids of the inventory. *limit* is in lines read. With *follow* files are read for
    ever, with *again* lines are sent that an earlier replay has sent. With *as_now* all times move
    by one span, so that the newest of all files is now: they are read twice. After *stop* is set,
    what was read may still arrive for GRACE seconds; the summary says how far the replay came.
    """
    check(files)
    if as_now:
        check_ends(files)
    host, stop = host or socket.gethostname(), stop or asyncio.Event()

    def stream(
        shift: timedelta | None, understood: OnUnderstood = lambda text: None
    ) -> Iterator[Outcome]:
        lines = (
            outcomes(
                path,
                LineOrigin.of(path, ship_id, host, devices, again=again, shift=shift),
                now,
                wanted,
                follow=follow,
                stopped=stop.is_set,
                understood=understood,
            )
            for path in files
        )
        return _limited(chain.from_iterable(lines), limit)

    shift = None
    if as_now:
        unstopped = takewhile(lambda _: not stop.is_set(), stream(None))
        newest = await asyncio.to_thread(_newest, unstopped)
        shift = now() - newest if newest else None
    limiter = RateLimiter(rate) if rate else None
    return await _Replay(stream(shift, understood), sink, limiter, progress, stop).run()


def _newest(outcomes: Iterable[Outcome]) -> datetime | None:
    """The newest time that a line states; None when none states one."""
    times = (
        entry.ts
        for outcome in outcomes
        if isinstance(outcome, AcceptedLine)
        for entry in outcome.entries
        if states_time(entry)
    )
    return max(times, default=None)


def _limited(stream: Iterator[Outcome], limit: int | None) -> Iterator[Outcome]:
    """*stream* until *limit* lines of it; a pause is no line."""
    lines = 0
    for outcome in stream:
        yield outcome
        lines += not isinstance(outcome, Pause)
        if limit and lines >= limit:
            return


def _next_batch(stream: Iterator[Outcome], most: int) -> list[Outcome]:
    """Up to *most* outcomes, fewer before a pause; empty at the end."""
    batch: list[Outcome] = []
    for outcome in stream:
        batch.append(outcome)
        if len(batch) >= most or isinstance(outcome, Pause):
            break
    return batch


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
            # What was read before a stop is still sent, as far as GRACE allows.
            await asyncio.wait({feeding}, timeout=GRACE if stopping.done() else None)
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
        while not self._stop.is_set():
            due = await self._limiter.allowance() if self._limiter else BATCH
            batch = await asyncio.to_thread(_next_batch, self._stream, due)
            if not batch:
                return
            for outcome in batch:
                self._summary.count(outcome)
            accepted = [outcome for outcome in batch if isinstance(outcome, AcceptedLine)]
            if not accepted:
                continue
            units = sum(1 + len(line.raw) // 1024 for line in accepted)
            await self._in_flight.acquire(units)
            delivery = group.create_task(self._deliver(accepted, units))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
            self._progress(self._summary)

    async def _deliver(self, accepted: Sequence[AcceptedLine], units: int) -> None:
        try:
            new = await self._new(accepted)
            self._summary.repeated += len(accepted) - len(new)
            pairs = [(entry, line.raw) for line in new for entry in line.entries]
            if pairs:
                await self._sink.send([entry for entry, _ in pairs], [raw for _, raw in pairs])
            self._summary.sent += len(new)
            self._summary.messages += len(pairs)
            self._progress(self._summary)
        except AiopsError as exc:
            self._summary.problem = str(exc)
            self._stop.set()
        finally:
            self._in_flight.release(units)

    async def _new(self, accepted: Sequence[AcceptedLine]) -> Sequence[AcceptedLine]:
        """The lines that no earlier replay has sent."""
        known = await self._sink.known([line.entries[0] for line in accepted])
        if not known:
            return accepted
        return [line for line in accepted if line.entries[0].tracking_id not in known]
