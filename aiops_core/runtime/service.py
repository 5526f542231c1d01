"""The description of a service: handlers, a sink, and how its state comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aiops_core.models import LogEntry, M, Message, MetricSample
from aiops_core.runtime.acks import Path
from aiops_core.runtime.bus import MAX_ACK_PENDING, Bus, Delivery, Outgoing, Stored
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.received import Received
from aiops_core.runtime.stopping import DRAIN
from aiops_core.runtime.storing import Storing

Handler = Callable[[Received[Any]], Awaitable[Sequence[Message]]]
Tick = Callable[[datetime], Sequence[Outgoing]]
Background = Callable[[], Coroutine[Any, Any, None]]

# Seconds. Each publication costs the broker a sync and some wake-ups of every service, so a
# message waits this long for others. The first one after a silence goes at once.
LINGER = 0.005


@dataclass(frozen=True)
class Tuning:
    """The limits of one consumer."""

    max_batch: int = 32  # messages handled together
    linger: float = 0.0  # seconds between the starts of two batches that are not full, at least
    max_ack_pending: int = MAX_ACK_PENDING  # delivered and not acknowledged, of each stream
    pull_on_demand: bool = False  # messages come up to 0.25 s later, all together
    concurrency: int = 1  # with 1 in the order of the stream; with more, each message on its own
    drain_timeout: float = DRAIN  # seconds after a stop for messages in flight


@dataclass(frozen=True)
class Service:
    """``recipe()`` builds it, the runtime and the tests run it.

    *consumer* names the durable consumer, by default the service; a process with two needs two.
    *recover* rebuilds state before the first message. *tick* lets time pass. *background* are
    loops that live with the service.

    A handler or tick that raises may leave its state half changed. With *rebuild* the runtime then
    publishes what was decided before and calls *recover*, which makes the state anew out of what
    is published, before anything else happens. Reject, Unavailable and Premature do not lead to
    that: a handler raises them before it changes anything.
    """

    name: str
    handlers: Mapping[type[Message], Handler]
    sink: Publishing | Storing = field(default_factory=Publishing)
    consumer: str | None = None
    path: Path = "fast"
    tuning: Tuning = Tuning()
    recover: Callable[[Bus], Awaitable[None]] | None = None
    rebuild: bool = False
    tick: Tick | None = None
    tick_every: float = 1.0  # seconds
    background: Sequence[Background] = ()

    def __post_init__(self) -> None:
        stores = isinstance(self.sink, Storing)
        if self.rebuild and (self.recover is None or self.tuning.concurrency > 1 or stores):
            raise ValueError(f"{self.name}: only what publishes, in order, can rebuild its state")
        if self.tick and stores:
            raise ValueError(f"{self.name}: the messages of a tick could not be published")

    @property
    def durable_name(self) -> str:
        return self.consumer or self.name

    @cached_property
    def by_subject(self) -> dict[str, type[Message]]:
        return {kind.subject: kind for kind in self.handlers}


def utc_now() -> datetime:
    return datetime.now(UTC)


def arrived(message: M, stored: Delivery | Stored) -> M:
    """*message*, stamped: an entry of a client that does not stamp was ingested when stored."""
    bare = isinstance(message, LogEntry | MetricSample) and "ingest" not in message.stages
    return message.stamped("ingest", stored.at) if bare else message
