"""The table of applications' text formats, in the order in which they are tried. Pure.

A new format is one more row in the module of its family; what begins with a time and states its
level in the next columns needs none.
"""

from __future__ import annotations

from aiops_core.normaliser import (
    containers,
    database_logs,
    dated_logs,
    runtime_logs,
    system_logs,
    times,
    web_logs,
)
from aiops_core.normaliser.line_format import DIGITS, TextFormat, line_format

_OTHERS: tuple[TextFormat, ...] = (
    line_format(
        "hpc",
        r"""\d+\ (?P<host>\S+)\ (?P<service>\S+)\ (?P<state>\S+)
        \ (?P<time>\d{10})\ -?\d+\ (?P<msg>.*)""",
        times.epoch,
        starts=DIGITS,
    ),
    line_format(
        "proxifier",
        r"\[(?P<time>\d\d\.\d\d\ \d\d:\d\d:\d\d)\]\ (?P<service>\S+)(?:\ \*64)?\ -\ (?P<msg>.*)",
        times.dotted,
        starts="[",
    ),
)

# Before the headers of syslog, which would read a part of them.
APP_FIRST: tuple[TextFormat, ...] = (
    *system_logs.FIRST,
    *containers.FIRST,
    *runtime_logs.FIRST,
)

APP_FORMATS: tuple[TextFormat, ...] = (
    *containers.FORMATS,
    *web_logs.FORMATS,
    *database_logs.FORMATS,
    *system_logs.FORMATS,
    *_OTHERS,
    dated_logs.LevelThenTime(),
    dated_logs.QuotedCsv(),
    *runtime_logs.FORMATS,
    dated_logs.DatedFormat(),
)
