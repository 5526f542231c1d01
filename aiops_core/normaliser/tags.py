"""The program in front of a message: ``sshd(pam_unix)[19]: text``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from aiops_core.models import Level
from aiops_core.normaliser import levels
from aiops_core.normaliser.line_format import NIL

# A level between host and program: BIG-IP, SONiC, BusyBox (``daemon.err smartd[12]: …``).
_LEVELS = "emerg|alert|crit|err|error|warn|warning|notice|info|debug"
_FACILITY = "|".join(levels.FACILITIES)
_LEVEL_FIRST = re.compile(
    rf"""(?:(?P<upper>(?:{_LEVELS.upper()}))\ +(?=[\w#./-]+(?:\[\d+\])?:\ )
    |(?P<lower>(?:{_LEVELS}))\ +(?=[\w./-]+\[\d+\]:\ |kernel:\ |logger:\ )
    |(?:{_FACILITY})\.(?P<dotted>(?:{_LEVELS}))\ +(?=\S))""",
    re.VERBOSE,
)
_TAG = re.compile(
    r"""\s*(?:--\ )?(?P<service>[^\s\[\]():,="'%*<>|{}\\#][^\s\[\]():,="'%*<>|{}\\]*)
    (?:\ \d[\w.]*)?                     # syslogd 1.4.1:
    (?:\((?P<module>[^()\s]*)\))?       # sshd(pam_unix)
    (?:\[(?P<pid>[^\]\s]*)\]:?|:(?=\s|$))
    \s*""",
    re.VERBOSE,
)
# Words of fields and of levels, which stand where a program stands.
NO_PROGRAM = frozenset(
    (
        *("severity", "category", "message", "messageid", "event", "time", "date", "trap"),
        *("warning", "warn", "error", "err", "info", "information", "notice", "debug"),
        *("critical", "crit", "fatal", "alert", "emergency", "panic", "cef", "leef"),
    )
)
_SLASHED = re.compile(r"/[0-7]/")  # IFNET/3/PHY_UPDOWN is no program


class Tag(NamedTuple):
    """A program in front of a message, and the message."""

    service: str
    labels: dict[str, str]
    text: str


def tagged(text: str) -> Tag | None:
    """``sshd(pam_unix)[19]: text``; neither a number nor the word of a field is a program."""
    match = _TAG.match(text)
    if match is None:
        return None
    service, pid = match["service"], match["pid"]
    if service.isdigit() or service.lower() in NO_PROGRAM or _SLASHED.search(service):
        return None
    labels = {"module": match["module"]} if match["module"] else {}
    if pid and pid != NIL:
        labels["process.pid" if pid.isdigit() else "thread.name"] = pid
    return Tag(service, labels, text[match.end() :])


def level_before(text: str) -> tuple[Level | None, str]:
    """The level that stands before the program, and what follows it."""
    if word := _LEVEL_FIRST.match(text):
        level = levels.from_word(word["upper"] or word["lower"] or word["dotted"])
        return level, text[word.end() :]
    return None, text
