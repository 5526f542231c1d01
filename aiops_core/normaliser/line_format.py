"""One format of text lines: a regular expression with named groups and a time reader. Pure.

The groups ``time``, ``host``, ``service``, ``level`` and ``msg`` become fields; every other group
becomes a label: under its name in LABELS, or its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiops_core.normaliser import levels, times
from aiops_core.normaliser.parsed import ParsedLine

_FIELDS = {"time", "host", "service", "level", "msg"}
NIL = "-"  # RFC 5424's word for "not known"

# What a group of a regular expression, whose name has no dots, is called as a label.
LABELS = {
    "pid": "process.pid",
    "thread": "thread.name",
    "client": "source.address",
    "function": "code.function.name",
    "exception": "exception.type",
    "user": "user.name",
    "event_id": "event.id",
    "provider": "event.provider",
    "interface": "network.interface.name",
    "instance": "service.instance.id",
    "url": "url.full",
    "method": "http.request.method",
    "status": "http.response.status_code",
    "user_agent": "user_agent.original",
}

ISO_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
ZONE = r"(?:Z|\ ?[+-]\d\d:?\d\d|\ UTC|\ GMT)"
LEVEL = r"(?P<level>[A-Za-z]{4,11})"
_NAMES = "|".join(sorted((word for word in levels.BY_WORD if len(word) > 2), reverse=True))
# In capitals, in brackets or before a colon; otherwise it is a word of the message.
LEVEL_WORD = (
    rf"(?P<level>(?:{_NAMES.upper()})\b|(?<=[\[(])(?i:{_NAMES})(?=[\])])|(?i:{_NAMES})(?=:\s))"
)
REST = r"(?P<msg>.*)"
DIGITS = "0123456789"


class TextFormat(Protocol):
    """A format of whole lines. *starts*: the characters with which they can begin ("": any)."""

    @property
    def name(self) -> str: ...
    @property
    def syslog(self) -> bool: ...
    @property
    def starts(self) -> str: ...
    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        ...


@dataclass(frozen=True, eq=False)
class LineFormat:
    """*service* stands in when the line does not name one."""

    name: str
    pattern: re.Pattern[str]
    time: times.TimeReader
    service: str | None = None
    syslog: bool = False
    starts: str = ""

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        match = self.pattern.match(line)
        if match is None:
            return None
        found: dict[str, str | None] = match.groupdict()
        written = found.get("time")
        ts = self.time(written, now) if written else None
        if ts is None and written not in (None, NIL):
            return None
        return ParsedLine(
            msg=(found["msg"] or "").strip(),
            level=levels.from_word(found.get("level") or ""),
            ts=ts,
            host=_known(found.get("host")),
            service=program(found.get("service")) or self.service,
            labels={
                LABELS.get(name, name): text
                for name, text in found.items()
                if name not in _FIELDS and text and text != NIL
            },
        )


def _known(text: str | None) -> str | None:
    return text if text != NIL else None


def program(text: str | None) -> str | None:
    """The name of a program without its folder; ``postfix/smtpd`` is a name."""
    name = _known(text)
    return name.rpartition("/")[2] or name if name and name.startswith("/") else name


def line_format(
    name: str,
    pattern: str,
    time: times.TimeReader,
    service: str | None = None,
    *,
    starts: str = "",
) -> LineFormat:
    """A row of a table of formats; *pattern* is verbose and ends with the line."""
    compiled = re.compile(pattern + "$", re.VERBOSE | re.DOTALL)
    return LineFormat(name, compiled, time, service, starts=starts)
