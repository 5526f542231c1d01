"""A message on its way through the runtime: in its envelope, then with its effects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from aiops_core.models import Message
from aiops_core.runtime.bus import Delivery, Outgoing

M_co = TypeVar("M_co", bound=Message, covariant=True)

MessageKey = tuple[str, int]  # subject and sequence: the same on every delivery of a message


@dataclass(frozen=True, slots=True, eq=False)
class Received(Generic[M_co]):
    """The envelope: a message with what the broker says about its delivery. Handlers take it."""

    message: M_co
    subject: str
    sequence: int  # in its stream; sequences of two streams cannot be compared
    attempt: int  # 1 on the first delivery
    at: datetime  # when the broker stored it
    data: bytes  # the message as JSON, as it came

    @property
    def key(self) -> MessageKey:
        return self.subject, self.sequence


@dataclass(frozen=True, eq=False, slots=True)
class Handled:
    """The *effects* of one message; of a tick when there is no *delivery*."""

    effects: Sequence[Outgoing]
    delivery: Delivery | None = None


@dataclass
class HandledBatch:
    """Messages that were handled together."""

    handled: list[Handled] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
