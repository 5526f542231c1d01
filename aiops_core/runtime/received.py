"""The envelope: a message with what the broker says about its delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from aiops_core.models import Message

M_co = TypeVar("M_co", bound=Message, covariant=True)

MessageKey = tuple[str, int]  # subject and sequence: the same on every delivery of a message


@dataclass(frozen=True, slots=True, eq=False)
class Received(Generic[M_co]):
    """The argument of every handler."""

    message: M_co
    subject: str
    sequence: int  # in its stream; sequences of two streams cannot be compared
    attempt: int  # 1 on the first delivery
    at: datetime  # when the broker stored it
    data: bytes  # the message as JSON, as it came

    @property
    def key(self) -> MessageKey:
        return self.subject, self.sequence
