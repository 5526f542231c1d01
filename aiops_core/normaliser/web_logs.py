"""Logs of web servers and proxies: requests and errors. Pure.

What stands in quotes in a request is a guest's: the request line, the page it came from, the
program. The level of a request is its answer: a 5xx is a warning, everything else information.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.app_format import (
    ALPHABET,
    CAPITALS,
    CLF,
    CTIME,
    ISO,
    MSG,
    labelled,
    row,
)
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ADDRESS = r"(?:[0-9a-fA-F:.]+|[\w.-]+)"
_REQUEST = re.compile(r'"?([A-Z]{3,10}) (\S{1,2000})')


def clf_time(text: str, now: datetime) -> datetime | None:
    """``30/Nov/2026:12:00:00 +0100`` of the common log format, perhaps with a fraction."""
    try:
        clock = int(text[12:14]), int(text[15:17]), int(text[18:20])
        when = datetime(int(text[7:11]), _MONTHS[text[3:6]], int(text[0:2]), *clock, tzinfo=UTC)
        if text[-5:-4] not in ("+", "-"):
            return when
        offset = timedelta(hours=int(text[-4:-2]), minutes=int(text[-2:]))
        return when - offset if text[-5] == "+" else when + offset
    except (ValueError, KeyError, OverflowError):
        return None


def access_time(text: str, now: datetime) -> datetime | None:
    """The time of an access log, mostly of the common format."""
    return clf_time(text, now) if text[2:3] == "/" else stated_times.text(text, now)


def request(line: ParsedLine) -> ParsedLine:
    """The level of a request, its method and its address, of its line and its status."""
    status = line.labels.get("http.response.status_code", "")
    stated = stated_levels.http_status(status) or Level.INFO
    asked = _REQUEST.search(line.msg)
    if asked is None or "http.request.method" in line.labels:
        return line._replace(level=line.level or stated)
    return labelled(line, method=asked[1], url=asked[2].rstrip('"'))._replace(
        level=line.level or stated
    )


_CLIENT_IN_ERROR = re.compile(r"\[client ([^\]]{2,60}?)(?::\d{1,5})?\]")
_NGINX_FIELD = re.compile(r', (client|server|upstream|host): "?([^,"]{1,200})"?')


def _apache_error(line: ParsedLine) -> ParsedLine:
    client = _CLIENT_IN_ERROR.search(line.msg)
    code = re.search(r"\b(AH\d{5}): ", line.msg[:200])
    return labelled(line, client=client and client[1], event_id=code and code[1])


def _nginx_error(line: ParsedLine) -> ParsedLine:
    found = dict(_NGINX_FIELD.findall(line.msg))
    return labelled(
        line, client=found.get("client"), vhost=found.get("server"), upstream=found.get("upstream")
    )


FORMATS = (
    row(
        "access log",
        rf"""(?:(?P<vhost>(?:[\w.*-]+|\[[0-9a-fA-F:]+\])(?::\d{{1,5}})?)\ )?
        (?P<client>{_ADDRESS})(?:,\ (?P<forwarded>[\w.:,\ -]{{1,200}}?))?
        \ \S+\ (?P<user>[^\[\]"]{{1,100}}?)\ \[(?P<time>{CLF}|{ISO})\]
        \ (?P<msg>{_QUOTED}(?:\ (?P<status>\d{{3}}|-))?(?:\ (?P<size>\d+|-))?
        (?:\ "(?P<referrer>(?:[^"\\]|\\.)*)"(?:\ "(?P<user_agent>(?:[^"\\]|\\.)*)")?)?.*)""",
        service="http",
        iso=False,
        starts=ALPHABET + DIGITS + ":-[",
        has='] "',
        time_of=access_time,
        finish=request,
    ),
    row(  # requests of Django's and Werkzeug's own servers
        "request log",
        rf"""(?:(?P<client>{_ADDRESS})\ -\ -\ )?
        \[(?P<time>\d\d/[A-Z][a-z]{{2}}/\d{{4}}\ [\d:]{{8}})\]\ (?P<msg>{_QUOTED}
        \ (?P<status>\d{{3}})(?:\ \S+)?)""",
        service="http",
        iso=False,
        starts="[" + DIGITS,
        has='] "',
        finish=request,
    ),
    row(
        "apache error",
        rf"""\[(?P<time>{CTIME})\]
        \ \[(?:(?P<module>[\w-]*):)?(?P<level>[A-Za-z]{{4,11}}|trace\d)\]
        (?:\ \[pid\ (?P<pid>[^\]]+)\])?\ ?{MSG}""",
        service="apache",
        starts="[",
        finish=_apache_error,
    ),
    row(
        "nginx error",
        rf"""(?P<time>\d{{4}}/\d\d/\d\d\ \d\d:\d\d:\d\d)\ \[(?P<level>[a-z]{{3,8}})\]
        \ (?P<pid>\d+)\#\d+:\ (?:\*\d+\ )?{MSG}""",
        service="nginx",
        starts=DIGITS,
        has="#",
        finish=_nginx_error,
    ),
    row(
        "lighttpd",
        rf"""(?P<time>\d{{4}}-\d\d-\d\d\ [\d:]{{8}}):\ \((?P<place>[\w./-]+\.c[.:]\d+)\)\ {MSG}""",
        service="lighttpd",
        starts=DIGITS,
        has=".c",
    ),
    row(
        "haproxy",
        rf"""(?P<client>{_ADDRESS}):\d{{1,5}}\ \[(?P<time>{CLF})\]\ (?P<msg>(?P<frontend>\S+)
        \ (?P<backend>[^\s/]+)/(?P<server>\S+)\ [\d/+-]+\ (?P<status>-?\d{{1,3}})\ .*)""",
        service="haproxy",
        iso=False,
        starts=DIGITS + ALPHABET + ":",
        has="] ",
        time_of=clf_time,
        finish=request,
    ),
    row(
        "squid",
        rf"""(?P<time>\d{{10}}\.\d{{3}})\ +\d+\ (?P<client>{_ADDRESS})
        \ (?P<msg>[A-Z_]+/(?P<status>\d{{3}})\ (?P<size>\d+)\ (?P<method>[A-Z]+)\ (?P<url>\S+)
        \ (?P<user>\S+)\ .*)""",
        service="squid",
        iso=False,
        starts=DIGITS,
        has="/",
        finish=request,
    ),
    row(
        "squid cache log",
        rf"(?P<time>\d{{4}}/\d\d/\d\d\ [\d:]{{8}})\ kid\d+\|\ (?:(?P<level>[A-Z]{{4,9}}):\ )?{MSG}",
        service="squid",
        starts=DIGITS,
        has=" kid",
    ),
    row(
        "iis",
        r"""(?P<time>\d{4}-\d\d-\d\d\ [\d:]{8})\ (?:(?:\S+\ ){1,3}?)??
        (?P<msg>(?P<method>[A-Z]{3,8})\ (?P<url>/\S*)\ \S+\ \d{1,5}\ (?P<user>\S+)
        \ (?P<client>[0-9a-fA-F.:]+)\ (?P<user_agent>\S+)(?:\ \S+)?
        \ (?P<status>\d{3})\ \d+\ \d+(?:\ \d+)*)""",
        service="iis",
        starts=DIGITS,
        has=" /",
        finish=request,
    ),
    row(
        "caddy console",
        rf"""(?P<time>\d{{4}}/\d\d/\d\d\ [\d:]{{8}}(?:\.\d+)?)\t(?P<level>[A-Z]{{4,6}})\t
        (?:(?P<logger>[a-z][\w.]*)\t)?{MSG}""",
        starts=DIGITS,
        has="\t",
    ),
    row(
        "uvicorn access",
        rf"""(?P<level>INFO|WARNING|ERROR):?\s+(?P<client>{_ADDRESS}):\d+\ -\ (?P<msg>{_QUOTED}
        \ (?P<status>\d{{3}}).*)""",
        service="http",
        starts=CAPITALS,
        has=' - "',
        finish=request,
    ),
    row(
        "traefik",
        rf"""(?P<time>{ISO})\ (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC)\ {MSG}""",
        starts=DIGITS,
    ),
)
