"""Logs of languages' own loggers: Go, Java, .NET, Python, Ruby, PHP, Node, Rust. Pure.

Formats that begin with a time and have their level among the next columns are read by
``dated_logs``; here are those that begin otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times, times
from aiops_core.normaliser.app_format import (
    ALPHABET,
    ISO,
    LABEL_LIMIT,
    MSG,
    labelled,
    row,
)
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine

T = TypeVar("T")
_GLOG = {"I": Level.INFO, "W": Level.WARNING, "E": Level.ERROR, "F": Level.CRITICAL}
_ANDROID = {"V": Level.DEBUG, "D": Level.DEBUG, "A": Level.CRITICAL, **_GLOG}
_DOTNET = "trce|dbug|info|warn|fail|crit"
_KLOG_ERROR = re.compile(r'\b(?:err|error)="((?:[^"\\]|\\.){1,400})"')


def _klog_time(text: str, now: datetime) -> datetime | None:
    """``1130 12:00:00.123456``, or with a year (``20261130``), as glog writes it."""
    day, clock = text[:-16].strip(), text[-15:]
    at = (int(clock[0:2]), int(clock[3:5]), int(clock[6:8]), int(clock[9:15]))
    try:
        if len(day) == 8:
            date = int(day[:4]), int(day[4:6]), int(day[6:8])
            return times.in_range(datetime(*date, *at, tzinfo=UTC))
        return times.latest_year(int(day[0:2]), int(day[2:4]), at, now)
    except ValueError:
        return None


def _klog(line: ParsedLine) -> ParsedLine:
    """klog's message is quoted and followed by pairs; the message is the quoted text."""
    if not line.msg.startswith('"'):
        return line
    pairs = PAIR.findall(line.msg[line.msg.find('"', 1) + 1 :])
    text, error = _unquoted(line.msg), _KLOG_ERROR.search(line.msg)
    labels = {**line.labels, **_labels({key: _unquoted(value) for key, value in pairs})}
    return line._replace(msg=with_error(text, error and error[1], line.level), labels=labels)


def _unquoted(text: str) -> str:
    """The text within the quotes with which *text* begins; *text* itself without quotes."""
    if not text.startswith('"'):
        return text
    end = 1
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    inner = text[1:end]
    return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), inner) if "\\" in inner else inner


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": " ", "t": " ", "r": " "}


def with_error(msg: str, error: str | None, level: Level | None) -> str:
    """*msg* with what failed: ``flush failed: no space left on device``."""
    if not error or error in ("<nil>", "null", "nil", "None") or error in msg:
        return msg
    if level is not None and level < Level.WARNING:
        return msg
    return f"{msg}: {error[:LABEL_LIMIT]}" if msg else error


# ------------------------------------------------------------------------------------------ logfmt
PAIR = re.compile(r'(?<![\w.@/-])([A-Za-z_@][\w.@/-]{0,79})=("(?:[^"\\]|\\.)*"|[^\s"]*)(?=[\s,]|$)')
_FIRST_PAIR = re.compile(r'[A-Za-z_@][\w.@/-]{0,40}=(?:"|\S)')
_TIME_KEYS = ("time", "ts", "t", "timestamp", "@timestamp", "datetime", "at")
_LEVEL_KEYS = ("level", "lvl", "severity", "loglevel", "log_level", "log.level", "at")
_MSG_KEYS = ("msg", "message", "event", "body", "text")
_SERVICE_KEYS = ("service", "app", "application", "program", "component", "logger", "service.name")
_HOST_KEYS = ("host", "hostname", "host.name")
_ERROR_KEYS = ("err", "error", "error.message", "exception")
_NAMED = {
    "pid": "process.pid",
    "caller": "code.file.path",
    "source": "code.file.path",
    "thread": "thread.name",
    "user": "user.name",
    "interface": "network.interface.name",
    "iface": "network.interface.name",
    "method": "http.request.method",
    "status": "http.response.status_code",
    "remote_addr": "source.address",
    "peer": "network.peer.address",
    "container": "container.id",
    "pod": "k8s.pod.name",
    "trace_id": "trace_id",
    "stacktrace": "exception.stacktrace",
}
LABELS_LIMIT = 64


def _labels(fields: Mapping[str, str]) -> dict[str, str]:
    kept = list(fields.items())[:LABELS_LIMIT]
    return {_NAMED.get(key, key): text[:LABEL_LIMIT] for key, text in kept if text}


class Logfmt:
    """``time="…" level=error msg="…"``: pairs, of which at least two have names that loggers use.

    A line without a level is one only if it has a time and a message.
    """

    name, syslog, starts = "logfmt", False, ALPHABET + "@"
    begins = r"[A-Za-z_@][\w.@/-]{0,40}="

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        if "=" not in line[:48] or _FIRST_PAIR.match(line) is None:
            return None
        fields = {key: _unquoted(value) for key, value in PAIR.findall(line)}
        return of_pairs(fields, now)


def of_pairs(fields: dict[str, str], now: datetime) -> ParsedLine | None:
    """The line that *fields* of a logger state, or None when they are none of a logger."""
    rest = dict(fields)
    level = _read(rest, _LEVEL_KEYS, stated_levels.of_text)
    ts = _read(rest, _TIME_KEYS, lambda stated: stated_times.value(stated, now))
    msg = _first(rest, _MSG_KEYS)
    if (level is None and (ts is None or msg is None)) or (ts is None and msg is None):
        return None
    error = next((rest[key] for key in _ERROR_KEYS if rest.get(key)), None)
    if error:
        rest = {key: text for key, text in rest.items() if key not in ("err", "error")}
        rest["exception.message"] = error
    host, service = _first(rest, _HOST_KEYS), _first(rest, _SERVICE_KEYS)
    if msg is None:
        msg = " ".join(f"{key}={text}" for key, text in rest.items())
    return ParsedLine(
        with_error(msg, error, level), level, ts, host, service=service, labels=_labels(rest)
    )


def _read(
    fields: dict[str, str], keys: tuple[str, ...], convert: Callable[[str], T | None]
) -> T | None:
    """The field of the first of *keys* that *convert* can read; it is taken out."""
    for key in keys:
        if key in fields and (found := convert(fields[key])) is not None:
            del fields[key]
            return found
    return None


def _first(fields: dict[str, str], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        if fields.get(key):
            return fields.pop(key)
    return None


_LOGRUS_TIME = re.compile(r"(?P<msg>.*?)\s{2,}(?P<pairs>[\w.]+=.*)$", re.DOTALL)


def _logrus(line: ParsedLine) -> ParsedLine:
    """logrus on a terminal: the message, blanks up to a column, then pairs."""
    found = _LOGRUS_TIME.match(line.msg)
    if found is None:
        return line
    pairs = {key: _unquoted(value) for key, value in PAIR.findall(found["pairs"])}
    error = pairs.pop("error", None) or pairs.pop("err", None)
    return labelled(line, **{"exception.message": error})._replace(
        msg=with_error(found["msg"].strip(), error, line.level),
        labels={**line.labels, **_labels(pairs)},
    )


def _exception(line: ParsedLine) -> ParsedLine:
    """An entry that begins with the name of an exception."""
    found = EXCEPTION.match(line.msg)
    return labelled(line, exception=found[1], **{"exception.message": found[2]}) if found else line


EXCEPTION = re.compile(
    r"((?:[A-Za-z_$][\w$]*(?:\.|::|\\))*[A-Z][\w$]*(?:Error|Exception|Failure|Fault|Interrupt))"
    r"(?::\s*(.{1,900}))?",
    re.DOTALL,
)

_PHP = {
    "Warning": Level.WARNING,
    "Notice": Level.INFO,
    "Deprecated": Level.INFO,
    "Strict Standards": Level.INFO,
    "Fatal error": Level.CRITICAL,
}
_UNCAUGHT = re.compile(
    r"Uncaught (?:exception ')?([\w\\]+)(?:'| with message '|: )(.{1,900})", re.DOTALL
)


def _php(line: ParsedLine) -> ParsedLine:
    found = _UNCAUGHT.match(line.msg)
    return labelled(line, exception=found[1], **{"exception.message": found[2]}) if found else line


ALL = (
    row(
        "klog",
        r"""(?P<level>[IWEF])(?P<time>(?:\d{4}|\d{8}\ )\d{0,4}\ ?\d\d:\d\d:\d\d\.\d{6})
        \ +(?P<thread>\d+)\ (?P<place>[^\s\]]+:\d+)\]\ ?(?P<msg>.*)""",
        starts="IWEF",
        level_of=lambda initial: _GLOG.get(initial),
        time_of=_klog_time,
        finish=_klog,
    ),
    row(
        "ruby",
        r"""[DIWEFA],\ \[(?P<time>[\dT:.-]{19,29})\ \#(?P<pid>\d+)\]\ +(?P<level>[A-Z]{3,7})
        \ --\ (?P<service>[^:]{0,60}):\ (?P<msg>.*)""",
        starts="DIWEFA",
        has=", [",
        finish=_exception,
    ),
    row(
        "python",
        r"""(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL):(?P<service>[\w.-]{1,80}):(?P<msg>.*)""",
        starts="DIWECF",
        finish=_exception,
    ),
    row(
        "logrus",
        rf"""(?P<level>TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)
        \[(?:(?P<uptime>\d{{4,}})|(?P<time>{ISO}))\]\ {MSG}""",
        starts="TDIWEFP",
        has="[",
        finish=_logrus,
    ),
    row(
        ".net",
        rf"(?P<level>{_DOTNET}):\ (?P<service>[A-Za-z_][\w.+`]*)\[(?P<event_id>\d+)\](?:\s+{MSG})?",
        starts="tdiwfc",
        has="[",
        finish=lambda line: line._replace(msg=line.msg or f"{line.service}"),
    ),
    row(
        "npm",
        rf"(?P<service>npm)\ (?P<level>ERR!|WARN|error|warn|info|notice|verb|http)\ {MSG}",
        starts="n",
    ),
    row(
        "php-fpm",
        rf"""\[(?P<time>\d\d-[A-Z][a-z]{{2}}-\d{{4}}\ [\d:.]{{8,15}})\]
        \ (?P<level>ALERT|ERROR|WARNING|NOTICE|DEBUG):\ (?:\[pool\ (?P<pool>[^\]]+)\]\ )?{MSG}""",
        service="php-fpm",
        starts="[",
        has="-",
    ),
    row(
        "php",
        rf"""\[(?P<time>\d\d-[A-Z][a-z]{{2}}-\d{{4}}\ [\d:.]{{8,15}})\ (?:[A-Z]{{3,5}}|[\w/+-]+)\]
        \ PHP\ (?P<level>(?:Fatal|Parse|Recoverable\ fatal|Core|Compile)\ error|Warning|Notice
        |Deprecated|Strict\ Standards):\ +{MSG}""",
        service="php",
        starts="[",
        has="PHP ",
        level=Level.INFO,
        level_of=lambda words: _PHP.get(words, Level.ERROR),
        finish=_php,
    ),
    row(
        "pm2",
        r"(?:\d{1,3}\|(?=[A-Za-z])|(?=[a-z]))(?P<service>[\w.-]{1,40})\s*\|\s(?P<msg>.*)",
        iso=False,
        starts=ALPHABET + DIGITS,
        has="|",
    ),
    row(  # the virtual machine of Java: uptime, level, topic
        "jvm",
        r"""(?:\[(?P<time>\d{4}-[^\]]{15,30})\])?(?:\[(?P<uptime>[\d.,]+m?s)\])
        \[(?P<level>[a-z]{4,7})\ *\]\[(?P<topic>[\w,\ ]+)\]\ (?P<msg>.*)""",
        service="jvm",
        starts="[",
        has="][",
    ),
    row(  # a pause to collect garbage is normal, also for an "Allocation Failure"
        "jvm garbage collection",
        rf"(?P<time>{ISO}):\ (?P<uptime>\d+\.\d+):\ (?P<msg>\[.*)",
        service="jvm",
        starts=DIGITS,
        has=": [",
        level=Level.INFO,
    ),
    row(
        "websphere",
        r"""\[(?P<time>\d\d?/\d\d?/\d\d\ [^\]]{8,20})\]\ (?P<thread>[0-9a-f]{8})
        \ (?P<logger>\S{1,13})\ +(?P<level>[FEWAICDORZ<>123])\ +(?P<msg>.*)""",
        starts="[",
        level=Level.INFO,
        level_of=lambda initial: _GLOG.get(initial),
    ),
    row(  # Android's logcat
        "logcat",
        r"""(?P<time>\d\d-\d\d\ [\d:.]{12})\ +(?P<pid>\d+)\ +(?P<thread>\d+)\ (?P<level>[VDIWEFA])
        \ (?P<service>[^:]{1,60}?)\s*:\ (?P<msg>.*)""",
        iso=False,
        starts=DIGITS,
        level_of=lambda initial: _ANDROID.get(initial),
    ),
    row(
        "logcat brief",
        r"""(?:(?P<time>\d\d-\d\d\ [\d:.]{12})\ )?(?P<level>[VDIWEFA])/(?P<service>[^(]{1,60})
        \(\ *(?P<pid>\d+)\):\ (?P<msg>.*)""",
        iso=False,
        starts=DIGITS + "VDIWEFA",
        has="): ",
        level_of=lambda initial: _ANDROID.get(initial),
    ),
    row(  # winston, webpack and many others
        "level first",
        r"""[\[(<]?(?P<level>(?i:debug|info|notice|warn|warning|error|err|crit|critical|fatal
        |severe|trace|verbose|emerg|alert|panic)|(?<=[\[<])[EWIDFC](?=[\]>]))[\])>]?
        (?:(?<=[\])>]):?\s+|:\s+|\s?\|\s|\t)
        (?:-\ )?(?P<msg>.*)""",
        starts=ALPHABET + "[(<",
        finish=_exception,
    ),
    row(  # loggers without a time: ERROR [main] org.acme.Engine - no oil
        "level first in capitals",
        r"""(?P<level>DEBUG|INFO|WARN|WARNING|ERROR|FATAL|SEVERE|CRITICAL|TRACE)\s+
        \[(?P<thread>[^\]]{1,80})\]\s+(?P<msg>.*)""",
        starts="DIWEFSCT",
        has="[",
    ),
    row(
        "level in capitals",
        r"""(?P<msg>(?P<level>DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|TRACE
        |SEVERE(?!\s+[A-Z]{3}))\s+\S.*)""",
        starts="DINWEFSCT",
    ),
    Logfmt(),
)
FIRST = tuple(one for one in ALL if one.name == "jvm garbage collection")
FORMATS = tuple(one for one in ALL if one.name != "jvm garbage collection")
