"""The shapes of text lines, as a table: a regular expression with named groups and a reader of times.

``time``, ``pri``, ``host``, ``service``, ``level``, ``msg`` and ``data`` (structured data of RFC 5424)
mean what they say; every other group becomes a label of its name. To know one more format, add a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from aiops_cli.ingest import levels, times
from aiops_cli.ingest.parsed import Parsed
from aiops_core.models import Level

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
class Shape:
    """One format of lines. *service* stands in when the line does not name one."""

    name: str
    pattern: re.Pattern[str]
    time: times.TimeReader
    service: str | None = None
    syslog: bool = False

    def read(self, line: str, now: datetime) -> Parsed | None:
        """What *line* says, or None when it does not have this shape."""
        match = self.pattern.match(line)
        return self._parsed(match.groupdict(), now) if match else None

    def _parsed(self, found: dict[str, str | None], now: datetime) -> Parsed | None:
        pri, written = int(found.get("pri") or 0), found.get("time")
        ts = self.time(written, now) if written else None
        if pri > levels.HIGHEST_PRI or (ts is None and written not in (None, _NIL)):
            return None
        msg = (found["msg"] or "").removeprefix(_BOM).strip()
        return Parsed(
            msg=msg,
            level=_level(found, msg),
            ts=ts,
            host=_known(found.get("host")),
            service=_program(found.get("service")) or self.service,
            labels=dict(_labels(found)),
        )


def _level(found: dict[str, str | None], msg: str) -> Level:
    if pri := found.get("pri"):
        return levels.from_pri(int(pri))
    named = levels.from_word(found.get("level") or "")
    return named if named is not None else levels.from_message(msg)


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


def _shape(
    name: str,
    pattern: str,
    time: times.TimeReader,
    service: str | None = None,
    *,
    syslog: bool = False,
) -> Shape:
    return Shape(name, re.compile(pattern + "$", re.VERBOSE | re.DOTALL), time, service, syslog)


_REST = r"(?P<msg>.*)"

# Tried in this order, after the one that most of the file has.
SHAPES: tuple[Shape, ...] = (
    _shape(
        "rfc5424",
        rf"""{_PRI}1\ (?P<time>\S+)\ (?P<host>\S+)\ (?P<service>\S+)\ (?P<pid>\S+)\ (?P<msgid>\S+)\ ?
        (?P<data>-|(?:\[(?:[^"\\\]]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?:\ {_REST})?""",
        times.iso,
        syslog=True,
    ),
    _shape(
        "rfc3164",
        rf"""{_PRI}?(?P<time>[A-Z][a-z]{{2}}\ [ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{{1,6}})?)
        \ (?P<host>[^\s:]\S*)\ +{_TAG}{_REST}""",
        times.rfc3164,
        syslog=True,
    ),
    _shape(  # what rsyslog writes unless it is told otherwise
        "rsyslog",
        rf"""{_PRI}?(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?:Z|[+-]\d\d:\d\d))
        \ (?P<host>[\w.:-]+)\ (?=[^\s\[\]():]+(?:\([^()\s]*\))?(?:\[[^\]\s]*\])?:){_TAG}{_REST}""",
        times.iso,
        syslog=True,
    ),
    _shape(
        "apache error",
        rf"""\[(?P<time>[A-Z][a-z]{{2}}\ [A-Z][a-z]{{2}}\ [ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{{1,6}})?\ \d{{4}})\]
        \ \[(?:(?P<module>\w*):)?{_LEVEL}\](?:\ \[pid\ (?P<pid>[^\]]+)\])?\ ?{_REST}""",
        times.apache,
        service="apache",
    ),
    _shape(
        "nginx error",
        rf"(?P<time>\d{{4}}/\d\d/\d\d\ \d\d:\d\d:\d\d)\ \[{_LEVEL}\]\ (?P<pid>\d+)\#\d+:\ {_REST}",
        times.iso,
        service="nginx",
    ),
    _shape(
        "log4j",
        rf"""(?P<time>{_ISO_TIME}{_ZONE}?)\ (?:-\ )?{_LEVEL}\ +
        \[(?P<thread>.*?)(?::(?P<logger>[\w$.]+@\d+))?\]\ -\ {_REST}""",
        times.iso,
    ),
    _shape(
        "levelled",
        rf"(?P<time>{_ISO_TIME}{_ZONE}?)\ +(?:-\ )?[\[(]?{_LEVEL_WORD}[\])]?:?\ +(?:-\ )?{_REST}",
        times.iso,
    ),
    _shape("dated", rf"\[?(?P<time>{_ISO_TIME}{_ZONE}?)\]?:?\ +(?:-\ )?{_REST}", times.iso),
    _shape(
        "hpc",
        rf"\d+\ (?P<host>\S+)\ (?P<service>\S+)\ (?P<state>\S+)\ (?P<time>\d{{10}})\ -?\d+\ {_REST}",
        times.epoch,
    ),
    _shape(
        "proxifier",
        rf"\[(?P<time>\d\d\.\d\d\ \d\d:\d\d:\d\d)\]\ (?P<service>\S+)(?:\ \*64)?\ -\ {_REST}",
        times.dotted,
    ),
    _shape(
        "access log",
        r"""(?P<client>[\w.:-]+)\ \S+\ \S+\ \[(?P<time>\d\d/[A-Z][a-z]{2}/[\d:]{13}\ [+-]\d{4})\]
        \ (?P<msg>"(?:[^"\\]|\\.)*"\ .*)""",
        times.access,
        service="http",
    ),
)
