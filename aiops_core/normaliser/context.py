"""What is remembered of one sender, or of one file, from line to line. Pure.

Plain data of at most about 2 KB, because it is part of snapshots: one for every sender.
"""

from __future__ import annotations

from dataclasses import dataclass, field

JSON, PLAIN, COLUMNS = "json", "plain", "columns"  # formats beside those of the table

PROGRAMS = 3  # programs of one sender whose newest entry further lines may continue
DEVICES = 6  # devices of one sender whose wrong clock is remembered
NAME = 40  # characters of a name that are kept
SAMPLES, SAMPLE = 9, 116  # lines of no format that are kept to learn from, characters of each


@dataclass(slots=True)
class OpenEntry:
    """The newest entry of one program: what its further lines belong to. Times since 1970."""

    host: str = ""
    service: str = ""
    level: str = ""
    at: float = 0.0  # what it states; 0: nothing
    arrived: float = 0.0
    trace: str = ""  # the kind of text that its next lines are of, see continuations
    event_id: str = ""


@dataclass(slots=True)
class ColumnPlan:
    """Which columns of a sender's lines say what; -1: none does.

    *delimiter* "": columns are separated by blanks and brackets. *lines* is how many it was learned
    from.
    """

    delimiter: str = ""
    time: int = -1
    time_columns: int = 0
    shape: str = ""
    level: int = -1
    host: int = -1
    service: int = -1
    process: int = -1
    message: int = 0
    lines: int = 0


@dataclass(slots=True)
class SenderContext:
    """*format* read the newest line, and is tried first."""

    format: str = ""
    weak: bool = False  # of the newest line no format said more than a time
    entries: list[OpenEntry] = field(default_factory=list)  # the newest is the last
    newest: float = 0.0  # the newest time that was stated and believed
    newest_arrived: float = 0.0  # and when its line arrived
    one_past: bool = False  # a file whose times all lie in one past is simply old
    clocks: dict[str, float] = field(default_factory=dict)  # wrong ones: device -> what it stated
    columns: ColumnPlan | None = None
    misses: int = 0  # lines that the plan could not read, since it last could
    plain: int = 0  # lines of no format
    samples: list[str] = field(default_factory=list)  # the beginnings of some of them
