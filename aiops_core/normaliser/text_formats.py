"""The formats of text lines, as a table: a regular expression with named groups and a time reader.

The groups ``time``, ``pri``, ``host``, ``service``, ``level``, ``msg`` and ``data`` (structured
data of RFC 5424) become fields; every other group becomes a label. A new format is one more row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.app_formats import APP_FORMATS
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import ParsedLine

_FIELDS = {"time", "pri", "host", "service", "level", "msg", "data"}
_NIL = "-"  # RFC 5424's word for "not known"
_BOM = "\ufeff"  # RFC 5424 puts it before a message in UTF-8

_PRI = r"(?:<(?P<pri>\d{1,3})>)"
_TAG = r"""(?:(?:--\ )?(?P<service>[^\s\[\]():]+)
    (?:\ \d[\w.]*)?                   # syslogd 1.4.1:
    (?:\((?P<module>[^()\s]*)\))?     # sshd(pam_unix)
    (?:\[(?P<pid>[^\]\s]*)\]:?|:)
    (?:\ +|$))?"""
_ISO_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:Z|\ ?[+-]\d\d:?\d\d|\ UTC|\ GMT)"
_LEVEL = r"(?P<level>[A-Za-z]{4,11})"
_NAMES = "|".join(sorted((word for word in levels.BY_WORD if len(word) > 2), reverse=True))
# In capitals, in brackets or before a colon; otherwise it is a word of the message.
_LEVEL_WORD = (
    rf"(?P<level>(?:{_NAMES.upper()})\b|(?<=[\[(])(?i:{_NAMES})(?=[\])])|(?i:{_NAMES})(?=:\s))"
)
_SD_ELEMENT = re.compile(r'\[([^\s=\]"]+)((?: [^\s=\]"]+="(?:[^"\\\]]|\\.)*")*)\]')
_SD_PARAM = re.compile(r' ([^\s=\]"]+)="((?:[^"\\\]]|\\.)*)"')


@dataclass(frozen=True)
class SyslogFormat:
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
        pri, written = int(found.get("pri") or 0), found.get("time")
        ts = self.time(written, now) if written else None
        if pri > levels.HIGHEST_PRI or (ts is None and written not in (None, _NIL)):
            return None
        msg = (found["msg"] or "").removeprefix(_BOM).strip()
        if found.get("pri"):
            level: Level | None = levels.from_pri(pri)
        else:
            level = levels.from_word(found.get("level") or "")
        return ParsedLine(
            msg=msg,
            level=level,
            ts=ts,
            host=_known(found.get("host")),
            service=_program(found.get("service")) or self.service,
            labels=dict(_labels(found)),
        )


def _known(text: str | None) -> str | None:
    return text if text != _NIL else None


def _program(text: str | None) -> str | None:
    """The name of a program without its folder; ``postfix/smtpd`` is a name."""
    name = _known(text)
    return name.rpartition("/")[2] or name if name and name.startswith("/") else name


def _labels(found: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    for name, text in found.items():
        if name not in _FIELDS and text and text != _NIL:
            yield name, text
    if pri := found.get("pri"):
        yield "facility", levels.FACILITIES[int(pri) // 8]
    for element in _SD_ELEMENT.finditer(found.get("data") or ""):
        for param in _SD_PARAM.finditer(element[2]):
            yield f"{element[1]}.{param[1]}", re.sub(r'\\(["\\\]])', r"\1", param[2])


def _format(
    name: str,
    pattern: str,
    time: times.TimeReader,
    service: str | None = None,
    *,
    syslog: bool = False,
) -> SyslogFormat:
    return SyslogFormat(
        name, re.compile(pattern + "$", re.VERBOSE | re.DOTALL), time, service, syslog
    )


_REST = r"(?P<msg>.*)"

# Tried in this order, after the format that most lines of the file have.
FORMATS: tuple[TextFormat, ...] = (
    _format(
        "rfc5424",
        rf"""{_PRI}1\ (?P<time>\S+)\ (?P<host>\S+)\ (?P<service>\S+)
        \ (?P<pid>\S+)\ (?P<msgid>\S+)\ ?
        (?P<data>-|(?:\[(?:[^"\\\]]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?:\ {_REST})?""",
        times.iso,
        syslog=True,
    ),
    _format(
        "rfc3164",
        rf"""{_PRI}?(?P<time>[A-Z][a-z]{{2}}\ [ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{{1,6}})?)
        \ (?P<host>[^\s:]\S*)\ +{_TAG}{_REST}""",
        times.rfc3164,
        syslog=True,
    ),
    _format(  # the default of rsyslog
        "rsyslog",
        rf"""{_PRI}?(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?:Z|[+-]\d\d:\d\d))
        \ (?P<host>[\w.:-]+)\ (?=[^\s\[\]():]+(?:\([^()\s]*\))?(?:\[[^\]\s]*\])?:){_TAG}{_REST}""",
        times.iso,
        syslog=True,
    ),
    *APP_FORMATS,
)
