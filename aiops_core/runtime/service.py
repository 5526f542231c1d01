"""What a service is made of: above all, an async function from a message to what it causes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from aiops_core.models import LogEntry, M, Message, MetricSample
from aiops_core.runtime.bus import UNSETTLED, Bus, Delivery, Outgoing, Stored
from aiops_core.runtime.publishing import Merge
from aiops_core.runtime.stopping import DRAIN

Handler = Callable[[Any], Awaitable[Sequence[Message]]]
Tick = Callable[[datetime], Sequence[Outgoing]]
Background = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """What a service is made of; ``recipe()`` builds it, the runtime and the tests run it.

    *group* is its durable consumer, by default its name; a process with two needs two. *stage* is
    stamped on every effect. With ``concurrency=1`` messages are handled one after the other
    in the order of the stream, at most *batch* of them before what they cause may go; with more, each
    on its own. *recover* rebuilds state before the first message. *merge* may join the effects of one
    batch. *commit* makes a batch durable before it is acknowledged; with *settled*, acknowledgements
    wait for that as well, while the next batches go on: until all that has been handled so far is
    durable; at most *unsettled* messages may wait so. Messages of a *patient* one stay with the broker until
    it takes them. *sees* hears of each message just before it is handled, *published* of what the broker has stored for the
    first time. *tick* lets time pass.
    *background* are loops that live with the service.

    A handler or tick that raises may leave its state half changed. With *rebuild* the runtime then
    publishes what was decided before and calls *recover*, which makes the state anew out of what is
    published, before anything else happens. Reject, Unavailable and Premature do not lead to that:
    a handler raises them before it changes anything.
    """

    name: str
    handlers: Mapping[type[Message], Handler]
    group: str | None = None
    stage: str | None = None
    path: Literal["fast", "insight"] = "fast"
    concurrency: int = 1
    batch: int = 32
    pace: float = (
        0.0  # seconds between the starts of two batches at least; what arrives waits together
    )
    patient: bool = False
    grace: float = DRAIN  # seconds that messages in flight get to finish after a stop
    recover: Callable[[Bus], Awaitable[None]] | None = None
    rebuild: bool = False
    merge: Merge | None = None
    commit: Callable[[], Awaitable[None]] | None = None
    settled: Callable[[], Awaitable[None]] | None = None
    unsettled: int = UNSETTLED
    sees: Callable[[Delivery], None] | None = None
    published: Callable[[Sequence[Message]], None] | None = None
    tick: Tick | None = None
    tick_every: float = 1.0  # seconds
    background: Sequence[Background] = ()

    def __post_init__(self) -> None:
        if self.rebuild and (self.recover is None or self.concurrency > 1 or self.stores):
            raise ValueError(f"{self.name}: only what publishes, in order, can rebuild its state")
        if self.tick and self.stores:
            raise ValueError(f"{self.name}: ticks would overtake messages that wait to be stored")

    @property
    def consumer(self) -> str:
        """The name of its durable consumer."""
        return self.group or self.name

    @property
    def stores(self) -> bool:
        """Whether messages are acknowledged when they are durable elsewhere."""
        return bool(self.commit or self.settled)

    @cached_property
    def by_subject(self) -> dict[str, type[Message]]:
        return {kind.subject: kind for kind in self.handlers}


def utc_now() -> datetime:
    return datetime.now(UTC)


def arrived(message: M, stored: Delivery | Stored) -> M:
    """*message*: an entry of a client that does not stamp was ingested when the broker stored it."""
    bare = isinstance(message, LogEntry | MetricSample) and "ingest" not in message.stages
    return message.stamped("ingest", stored.at) if bare else message
