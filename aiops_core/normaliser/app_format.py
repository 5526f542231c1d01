"""One format of an application's text lines, as a row of a table. Pure.

The groups ``time``, ``host``, ``service``, ``level`` and ``msg`` of its expression become fields;
every other group becomes a label, under its name in NAMES or its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.line_format import DIGITS, LABELS, NIL, program
from aiops_core.normaliser.parsed import ParsedLine

_FIELDS = {"time", "host", "service", "level", "msg"}
NAMES = {
    **LABELS,
    "forwarded": "client.address",
    "vhost": "server.address",
    "referrer": "http.request.header.referer",
    "size": "http.response.body.size",
    "path": "url.path",
    "query": "db.query.text",
    "database": "db.namespace",
    "code": "db.response.status_code",
    "place": "code.file.path",
    "logger": "logger",
    "task": "event.task",
    "mac": "client.mac",
    "peer": "network.peer.address",
    "stream": "log.iostream",
    "container": "container.name",
}
LABEL_LIMIT = 1024  # characters of one label

TimeOf = Callable[[str, datetime], datetime | None]
LevelOf = Callable[[str], Level | None]
Finish = Callable[[ParsedLine], ParsedLine]


@dataclass(frozen=True, eq=False)
class AppFormat:
    """*has* occurs in every line of the format, which is faster to see than *pattern*.

    *level* stands in when no level is stated, *service* when no program is. *iso*: whether lines
    that begin with a digit begin with a date as 2026-11-30 or 2026/11/30 (None: any do).
    """

    name: str
    pattern: re.Pattern[str]
    service: str | None = None
    starts: str = ""
    has: str = ""
    level: Level | None = None
    level_of: LevelOf = stated_levels.word
    time_of: TimeOf = stated_times.text
    finish: Finish | None = None
    iso: bool | None = None
    syslog: bool = False

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        if (self.has and self.has not in line) or (match := self.pattern.match(line)) is None:
            return None
        found: dict[str, str | None] = match.groupdict()
        ts = None
        if written := found.get("time"):
            ts = self.time_of(written, now)
            if ts is None:
                return None
        stated = found.get("level")
        msg = found.get("msg")
        parsed = ParsedLine(
            msg=line if msg is None else msg.strip(),
            level=(self.level_of(stated) if stated else None) or self.level,
            ts=ts,
            host=found.get("host"),
            service=program(found.get("service")) or self.service,
            labels={
                NAMES.get(name, name): text.strip()[:LABEL_LIMIT]
                for name, text in found.items()
                if text and name not in _FIELDS and text != NIL
            },
        )
        return self.finish(parsed) if self.finish else parsed


def row(
    name: str,
    pattern: str,
    service: str | None = None,
    *,
    starts: str = "",
    has: str = "",
    level: Level | None = None,
    level_of: LevelOf = stated_levels.word,
    time_of: TimeOf = stated_times.text,
    finish: Finish | None = None,
    iso: bool | None = None,
) -> AppFormat:
    """A row; *pattern* is verbose and ends with the line."""
    compiled = re.compile(rf"(?:{pattern})$", re.VERBOSE | re.DOTALL)
    if pattern.lstrip().startswith((r"(?P<time>\d{4}", rf"(?P<time>{ISO})")):
        iso = True
    return AppFormat(name, compiled, service, starts, has, level, level_of, time_of, finish, iso)


def labelled(line: ParsedLine, **labels: str | None) -> ParsedLine:
    """*line* with more labels, of which those without a value are left out."""
    more = {NAMES.get(name, name): text[:LABEL_LIMIT] for name, text in labels.items() if text}
    return line._replace(labels={**line.labels, **more})


# Parts of expressions.
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CAPITALS = ALPHABET[:26]
HEX = DIGITS + "abcdefABCDEF:"
ISO = r"\d{4}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|\ ?[+-]\d\d:?\d\d)?"
CTIME = r"[A-Z][a-z]{2}\ [A-Z][a-z]{2}\ [ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{1,6})?\ \d{4}"
CLF = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(?:\.\d+)?(?:\ [+-]\d{4})?"
MSG = r"(?P<msg>.*)"
