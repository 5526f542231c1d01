"""Files into a sink, at a steady rate or as fast as it accepts, in bounded memory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from aiops_cli.ingest.formats import Format
from aiops_cli.ingest.lines import Accepted, Now, Outcome, outcomes
from aiops_cli.ingest.pace import Pacer
from aiops_cli.ingest.reader import Blank, Refusal, check
from aiops_cli.ingest.sink import Sender
from aiops_cli.ingest.stamp import Origin
from aiops_cli.ingest.window import Window
from aiops_core.errors import AiopsError
from aiops_core.runtime.service import utc_now

BATCH = 500  # lines that are read and sent at once when no rate is given
UNDER_WAY = (
    20_000  # lines (of up to 1 KiB) that are sent but not confirmed: 50 MB measured, rows included
)
REFUSALS_KEPT = 100  # the first ones; the others are counted
GRACE = 5.0  # seconds after Ctrl-C in which what is under way may still be confirmed


@dataclass
class Summary:
    """What became of the lines: ``read == accepted + refused_total + skipped``. A line of a ship's
    instruments may be several *messages*."""

    read: int = 0
    accepted: int = 0
    sent: int = 0
    messages: int = 0
    skipped: int = 0
    refused_total: int = 0
    refused: list[Refusal] = field(default_factory=list)
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
        if isinstance(outcome, Accepted):
            self.accepted += 1
            self.characters += len(outcome.raw) + 1
        elif isinstance(outcome, Blank):
            self.skipped += 1
        else:
            self._refuse(outcome)

    def _refuse(self, refusal: Refusal) -> None:
        self.refused_total += 1
        if len(self.refused) < REFUSALS_KEPT:
            self.refused.append(refusal)


Progress = Callable[[Summary], None]


async def replay(
    files: Sequence[Path],
    sink: Sender,
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
    pacer: Pacer | None = None,
) -> Summary:
    """Send every line of *files* through *sink*; raises Misconfigured before the first one.

    Lines that do not name a host are of *host*, by default this machine; *devices* are the inventory's
    names of instruments. *limit* is in lines read.
    When *stop* is set, what is under way is waited for (GRACE), and the summary says how far it came.
    """
    check(files)
    host = host or socket.gethostname()
    streams = (outcomes(p, Origin.of(p, ship_id, host, devices), now, wanted) for p in files)
    stream = islice(chain.from_iterable(streams), limit)
    pacer = pacer or (Pacer(rate) if rate else None)
    return await _Replay(stream, sink, pacer, progress, stop or asyncio.Event()).run()


class _Replay:
    def __init__(
        self,
        stream: Iterator[Outcome],
        sink: Sender,
        pacer: Pacer | None,
        progress: Progress,
        stop: asyncio.Event,
    ) -> None:
        self._stream, self._sink, self._pacer = stream, sink, pacer
        self._progress, self._stop = progress, stop
        self._summary = Summary()
        self._window = Window(UNDER_WAY)
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> Summary:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(group))
            stopping = group.create_task(self._stop.wait())
            await asyncio.wait({feeding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            feeding.cancel()
            await self._settle(stopping)
            stopping.cancel()
        self._summary.interrupted = self._stop.is_set() and not self._summary.problem
        self._summary.seconds = time.monotonic() - began
        return self._summary

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        while batch := await asyncio.to_thread(self._read, await self._allowance()):
            for outcome in batch:
                self._summary.count(outcome)
            accepted = [outcome for outcome in batch if isinstance(outcome, Accepted)]
            units = sum(1 + len(item.raw) // 1024 for item in accepted)
            await self._window.take(units)
            delivery = group.create_task(self._deliver(accepted, units))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
            self._progress(self._summary)

    async def _allowance(self) -> int:
        return await self._pacer.allowance() if self._pacer else BATCH

    def _read(self, most: int) -> list[Outcome]:
        return list(islice(self._stream, most))

    async def _deliver(self, accepted: Sequence[Accepted], units: int) -> None:
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
            self._window.give_back(units)

    async def _settle(self, stopping: asyncio.Task[bool]) -> None:
        """Wait for what is under way: all of it, or for GRACE once the replay is to stop."""
        while self._deliveries and not stopping.done():
            await asyncio.wait({*self._deliveries, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=GRACE)
        for delivery in self._deliveries:
            delivery.cancel()
