"""How bad a line is: from its syslog priority, from a level word, or else from its message."""

from __future__ import annotations

import re

from aiops_cli.ingest.words import NOTHING, PHRASES
from aiops_core.models import Level

D, I, W, E, C = Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR, Level.CRITICAL

LOOKED_AT = 2048  # characters; a message that is worse later on (a dump) has said so by then

# Index is the severity of RFC 5424; notice is normal operation.
BY_SEVERITY = (C, C, C, E, W, I, I, D)
HIGHEST_PRI = 191

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)

WORDS = {
    D: ("debug", "trace", "verbose", "fine", "finer", "finest", "dbg", "d"),
    I: ("info", "information", "informational", "notice", "note", "normal", "config", "ok", "i"),
    W: ("warning", "warn", "w"),
    E: ("error", "err", "severe", "e"),
    C: ("critical", "crit", "fatal", "alert", "emergency", "emerg", "panic", "c", "f"),
}
BY_WORD = {word: level for level, words in WORDS.items() for word in words}

# bunyan and pino write levels as numbers; below ten it is a syslog severity.
BY_NUMBER = {10: D, 20: D, 30: I, 40: W, 50: E, 60: C}

# A message that begins with its level (``error: ...``, ``[WARN] ...``), or has it as logfmt.
_NAMED = "debug|info|notice|warning|warn|error|err|critical|crit|fatal|panic|emerg|alert"
_FIRST = re.compile(rf"[\[<]({_NAMED})[\]>]|({_NAMED})(?:\s?:\s(?!\s*{NOTHING})|\s*$)")
_LOGFMT = re.compile(rf"\blevel=[\"']?({_NAMED})\b")


def from_pri(pri: int) -> Level:
    return BY_SEVERITY[pri % 8]


def from_word(word: str) -> Level | None:
    """The level that a level field names, in any of the usual spellings."""
    return BY_WORD.get(word.strip().lower())


def from_number(number: float) -> Level | None:
    if 0 <= number < len(BY_SEVERITY):
        return BY_SEVERITY[int(number)]
    return BY_NUMBER.get(int(number)) if 10 <= number <= 60 else None


def from_message(msg: str) -> Level:
    """The level that the words of *msg* suggest; ``info`` when none does."""
    said = msg[:LOOKED_AT].lower()
    if named := _FIRST.match(said) or ("level=" in said and _LOGFMT.search(said)):
        return BY_WORD[named[named.lastindex or 1]]
    for phrase in PHRASES:
        if phrase.stem in said and phrase.pattern.search(said):
            return phrase.level
    return I
