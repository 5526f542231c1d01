"""What a program wrote, within the message of a transport: a container's line, syslog, a journal.

Of a container every format is read. Elsewhere the message must have a form that no sentence has
(JSON, pairs, klog, a time with columns), because a header has already said the rest. The program's
own level counts; time and host are the transport's, which are sure of their zone. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import json_lines
from aiops_core.normaliser.app_table import APP_FIRST, APP_FORMATS
from aiops_core.normaliser.containers import STREAM
from aiops_core.normaliser.format_table import FormatTable
from aiops_core.normaliser.guards import Guarded
from aiops_core.normaliser.json_fields import cut
from aiops_core.normaliser.parsed import ParsedLine, PayloadReader, Unreadable

# Formats that begin with a word or a bracket as many sentences do.
_WEAK = frozenset(
    {"level first", "level first in capitals", "level in capitals", "pm2", "compose", "npm"}
    | {"vlc", "restic", "python", "dmesg", "cups", "kmsg", "oracle", "hpc"}
)
# Programs that send what others wrote.
_FORWARDERS = frozenset(
    {"EvntSLog", "MSWinEventLog", "nxlog", "fluentd", "fluent-bit", "td-agent", "logstash"}
    | {"filebeat", "vector", "promtail", "docker", "containerd", "otelcol", "syslog-ng"}
)
_TRANSPORT = frozenset({"facility", "process.pid", "container.name", "systemd.unit"})
_PG_PREFIX = re.compile(r"\[\d+-(\d+)\]\s+(?:#011)?")  # postgres[812]: [3-1] message


_EVERY = (*APP_FIRST, *APP_FORMATS)
_ALL = FormatTable(_EVERY)
_STRONG = FormatTable(one for one in _EVERY if one.name not in _WEAK)


# JSON, the mark before it, and the prefix of PostgreSQL, which ``read`` looks at itself.
_OTHERS = frozenset("{@[")


def guards(first: str, iso: bool) -> Sequence[Guarded[PayloadReader]]:
    """What ``read`` may read of messages that begin with *first*, and with a date if *iso*."""
    if first in _OTHERS:
        return [Guarded(read)]
    return [Guarded(read, one.has, one.begins) for one in _ALL.guarded(first, iso)]


def read(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """*line* as its program meant it, or None when its message has no format of a program."""
    contained = STREAM in line.labels
    carried = contained or line.host or not _TRANSPORT.isdisjoint(line.labels)
    msg = line.msg
    if msg[:5] == "@cee:":  # the mark of structured syslog
        msg = msg[5:].lstrip()
    if msg[:1] == "{":
        inner = _json(msg, now) if carried or line.ts or line.service else None
    else:
        inner = _text(msg, now, contained=contained) if carried else None
    return _merged(line, inner, contained=contained) if inner else None


def _text(msg: str, now: datetime, *, contained: bool) -> ParsedLine | None:
    prefix = _PG_PREFIX.match(msg) if msg[:1] == "[" else None
    if prefix:
        msg = msg[prefix.end() :]
    for one in (_ALL if contained else _STRONG).possible(msg):
        if inner := one.read(msg, now):
            return inner if contained or inner.level is not None else None
    # The second and later parts of an entry quote a statement.
    return ParsedLine(msg, Level.INFO) if prefix and prefix[1] != "1" else None


def _json(msg: str, now: datetime) -> ParsedLine | None:
    try:
        inner = json_lines.read(msg, now)
    except Unreadable:
        return None
    return inner if inner.msg != msg or inner.level or inner.ts else None


def _merged(line: ParsedLine, inner: ParsedLine, *, contained: bool) -> ParsedLine | None:
    if inner.msg == line.msg:
        return None
    labels = {**line.labels, **inner.labels}
    first, second = line.service, inner.service
    if contained or first in _FORWARDERS:
        first, second = second, first
    return line._replace(
        msg=inner.msg,
        level=inner.level or line.level,
        ts=line.ts or inner.ts,
        host=line.host or inner.host,
        device_id=line.device_id or inner.device_id,
        service=first or second,
        source=line.source or inner.source,
        labels=cut(labels.items()),
    )
