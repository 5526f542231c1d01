"""Formats of applications' text logs: web servers, databases, Java, schedulers. Pure.

A new format is one more row; the groups of its expression are told in ``line_format``.
"""

from __future__ import annotations

from aiops_core.normaliser import times
from aiops_core.normaliser.line_format import (
    DIGITS,
    ISO_TIME,
    LEVEL,
    LEVEL_WORD,
    REST,
    ZONE,
    LineFormat,
    line_format,
)
from aiops_core.normaliser.parsed import Payload

# Readers of what programs write into the messages of a transport (syslog, Docker).
APP_PAYLOADS: tuple[Payload, ...] = ()

APP_FORMATS: tuple[LineFormat, ...] = (
    line_format(
        "apache error",
        rf"""\[(?P<time>
        [A-Z][a-z]{{2}}\ [A-Z][a-z]{{2}}\ [ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{{1,6}})?\ \d{{4}})\]
        \ \[(?:(?P<module>\w*):)?{LEVEL}\](?:\ \[pid\ (?P<pid>[^\]]+)\])?\ ?{REST}""",
        times.apache,
        service="apache",
        starts="[",
    ),
    line_format(
        "nginx error",
        rf"(?P<time>\d{{4}}/\d\d/\d\d\ \d\d:\d\d:\d\d)\ \[{LEVEL}\]\ (?P<pid>\d+)\#\d+:\ {REST}",
        times.iso,
        service="nginx",
        starts=DIGITS,
    ),
    line_format(
        "log4j",
        rf"""(?P<time>{ISO_TIME}{ZONE}?)\ (?:-\ )?{LEVEL}\ +
        \[(?P<thread>.*?)(?::(?P<logger>[\w$.]+@\d+))?\]\ -\ {REST}""",
        times.iso,
        starts=DIGITS,
    ),
    line_format(
        "levelled",
        rf"(?P<time>{ISO_TIME}{ZONE}?)\ +(?:-\ )?[\[(]?{LEVEL_WORD}[\])]?:?\ +(?:-\ )?{REST}",
        times.iso,
        starts=DIGITS,
    ),
    line_format(
        "dated",
        rf"\[?(?P<time>{ISO_TIME}{ZONE}?)\]?:?\ +(?:-\ )?{REST}",
        times.iso,
        starts="[" + DIGITS,
    ),
    line_format(
        "hpc",
        rf"""\d+\ (?P<host>\S+)\ (?P<service>\S+)\ (?P<state>\S+)
        \ (?P<time>\d{{10}})\ -?\d+\ {REST}""",
        times.epoch,
        starts=DIGITS,
    ),
    line_format(
        "proxifier",
        rf"\[(?P<time>\d\d\.\d\d\ \d\d:\d\d:\d\d)\]\ (?P<service>\S+)(?:\ \*64)?\ -\ {REST}",
        times.dotted,
        starts="[",
    ),
    line_format(
        "access log",
        r"""(?P<client>[\w.:-]+)\ \S+\ \S+\ \[(?P<time>\d\d/[A-Z][a-z]{2}/[\d:]{13}\ [+-]\d{4})\]
        \ (?P<msg>"(?:[^"\\]|\\.)*"\ .*)""",
        times.access,
        service="http",
    ),
)
