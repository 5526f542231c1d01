"""The level of a line: from its syslog priority, from a level word, or else from its message.

The table for messages is conservative: a false ``error`` costs an operator's trust, and detection
has its own patterns. A word counts only as a word (not in a path, a URL or a name) and when it is
not denied (``no errors``, ``0 failed``, ``failed=0``). A setting (``panic=10``) has no level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiops_core.models import Level
from aiops_core.normaliser.parsed import NO_LABELS
from aiops_core.normaliser.statement import statement

MESSAGE_SEARCHED = 2048  # characters; a longer message (a dump) states its level in the first ones

# The index is the severity of RFC 5424; notice is normal operation.
BY_SEVERITY = (
    *(Level.CRITICAL, Level.CRITICAL, Level.CRITICAL, Level.ERROR),
    *(Level.WARNING, Level.INFO, Level.INFO, Level.DEBUG),
)
HIGHEST_PRI = 191

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)

WORDS = {
    Level.DEBUG: "debug trace verbose fine finer finest dbg d",
    Level.INFO: "info information informational notice note normal config ok i",
    Level.WARNING: "warning warn w",
    Level.ERROR: "error err severe e",
    Level.CRITICAL: "critical crit fatal alert emergency emerg panic c f",
}
BY_WORD = {word: level for level, words in WORDS.items() for word in words.split()}

# bunyan and pino write levels as numbers; below ten it is a syslog severity.
BY_NUMBER = {
    10: Level.DEBUG,
    20: Level.DEBUG,
    30: Level.INFO,
    40: Level.WARNING,
    50: Level.ERROR,
    60: Level.CRITICAL,
}

_NOT_PART_OF_A_NAME = r"(?<![\w./\\=&?%-])"
_NOT_DENIED = r"(?<!\bno )(?<!\bnot )(?<!\bzero )(?<!\bany )(?<!\bwithout )(?<!\b0 )(?<!\bnon-)"
_VALUE_ENDS = r"(?=\s*(?:$|[,;.)\]}\"'|/])|\s+\w+\s*[:=])"
NOTHING = rf"(?:0|none|no|nil|null|false|off|-){_VALUE_ENDS}"  # but "error: no route to host"
_ENDS = rf"(?![\w/-]|[.\\]\w|\s*[=:]\s*[\"']?{NOTHING}|\s*=)"


@dataclass(frozen=True)
class LevelPhrase:
    """*pattern* is tried only where *stem* occurs, which is faster. Both are in lower case."""

    stem: str
    pattern: re.Pattern[str]
    level: Level


def _named(level: Level, *words: str) -> list[LevelPhrase]:
    """Messages that name their level: ``... error : ...``."""
    return [
        LevelPhrase(f" {word}", re.compile(rf"\s{word}\s?:\s(?!\s*{NOTHING})"), level)
        for word in words
    ]


def _words(level: Level, phrases: Mapping[str, str]) -> list[LevelPhrase]:
    """Stem -> words that contain it and suggest *level*."""
    return [
        LevelPhrase(
            stem, re.compile(f"{_NOT_PART_OF_A_NAME}{_NOT_DENIED}(?:{words}){_ENDS}"), level
        )
        for stem, words in phrases.items()
    ]


# The first match decides. Attacks stay warnings although the attempts "fail".
PHRASES: tuple[LevelPhrase, ...] = (
    *_named(Level.CRITICAL, "fatal", "panic", "critical"),
    *_named(Level.ERROR, "error"),
    *_named(Level.WARNING, "warning"),
    *_words(
        Level.WARNING,
        {
            "auth": r"(?:authentication|auth) (?:failures?|failed|error)",
            "log": r"(?:login|logon) (?:failures?|failed|error)|failed (?:login|logon)",
            "password": r"password (?:failures?|failed)|failed password",
            "failed none": r"failed none",
            "failed publickey": r"failed publickey",
            "failed keyboard": r"failed keyboard-interactive\S*",
            " user": r"(?:invalid|illegal|unknown) user",
            "user ": r"(?:invalid|illegal) user|user (?:name )?unknown",
            "break-in": r"break-in attempt!?",
        },
    ),
    *_words(
        Level.CRITICAL,
        {
            "fatal": r"fatal(?: error)?",
            "panic": r"(?:kernel |domain )?panic(?:ked)?",
            "critical": r"critical",
            "emergency": r"emergency",
            "out of memory": r"out of memory",
            "oom": r"oom-killer",
        },
    ),
    *_words(
        Level.ERROR,
        {
            "error": r"errors?",
            "exception": r"exception(?! (?:support|handl))",
            "fail": r"fail(?:s|ed|ures?)?",
            "abort": r"abort(?:ed|ing)?",
            "crash": r"crash(?:ed)?",
            "segfault": r"segfault",
            "traceback": r"traceback",
            "corrupt": r"corrupt(?:ed|ion)?",
            "unavailable": r"unavailable",
            "abnormally": r"exited abnormally",
            "respond": r"not[ -]responding",
            "no space": r"no space left(?: on device)?",
            " full": r"(?:disk|domain|filesystem|partition|volume)[^,;:]{0,40} is full",
        },
    ),
    LevelPhrase(
        "err",  # error=timeout, but neither error=0 nor error=
        re.compile(r"\berr(?:or)?=[\"']?(?!(?:0|none|no|nil|null|false|off)\b|[\"'\s,;}\]-]|$)"),
        Level.ERROR,
    ),
    *_words(
        Level.WARNING,
        {
            "warning": r"warning",
            "denied": r"denied",
            "refused": r"refused",
            "rejected": r"rejected",
            "forbidden": r"forbidden",
            "invalid": r"invalid",
            "unreachable": r"unreachable",
            "degraded": r"degraded",
            "exceed": r"exceed(?:s|ed)",
            "timed": r"timed[ -]out",
            " time": r"(?:connect(?:ion)?|request|read|write|response|gateway|operation) time-?out",
            "out ": r"time-?out (?:while|waiting|after|expired|exceeded|occurred)",
            " lost": r"(?:connection|carrier|signal|link|lock) lost",
            "lost ": r"lost (?:connection|carrier|signal|link|lock)",
            " down": r"(?:link|interface|port)(?: is| went)? down",
            "reset by": r"reset by peer",
            "unable": r"unable to",
            "can": r"can(?:no|')t",
            "could": r"could(?: not|n't)",
        },
    ),
)

# A message that begins with its level (``error: ...``, ``[WARN] ...``), or has it as logfmt.
_NAMED = "debug|info|notice|warning|warn|error|err|critical|crit|fatal|panic|emerg|alert"
_FIRST = re.compile(rf"[\[<]({_NAMED})[\]>]|({_NAMED})(?:\s?:\s(?!\s*{NOTHING})|\s*$)")
_STATED = re.compile(
    rf"[\[<](?:\w{{1,20}}[:.])?({_NAMED}|{_NAMED.upper()})[\]>]|({_NAMED.upper()})(?:\s?:\s|\s\||\s-\s)"
)
_BEGIN_STATED = frozenset("[<" + "".join({word[0].upper() for word in _NAMED.split("|")}))
_LOGFMT = re.compile(rf"\blevel=[\"']?({_NAMED})\b")


def stated_first(msg: str) -> Level | None:
    """The level in capitals or brackets with which *msg* begins: ``ERROR: …``, ``[warn] …``."""
    if msg[:1] not in _BEGIN_STATED:
        return None
    found = _STATED.match(msg)
    return BY_WORD[(found[1] or found[2]).lower()] if found else None


def from_pri(pri: int) -> Level:
    return BY_SEVERITY[pri % 8]


def from_word(word: str) -> Level | None:
    """The level that a level field names, in any of the usual spellings."""
    return BY_WORD.get(word.strip().lower())


def from_number(number: float) -> Level | None:
    if 0 <= number < len(BY_SEVERITY):
        return BY_SEVERITY[int(number)]
    return BY_NUMBER.get(int(number)) if 10 <= number <= 60 else None


def from_message(msg: str, labels: Mapping[str, str] = NO_LABELS) -> Level:
    """The level that the device's own words in *msg* suggest; ``info`` when none does."""
    text = statement(msg[:MESSAGE_SEARCHED], labels).lower()
    if named := _FIRST.match(text) or ("level=" in text and _LOGFMT.search(text)):
        return BY_WORD[named[named.lastindex or 1]]
    for phrase in PHRASES:
        if phrase.stem in text and phrase.pattern.search(text):
            return phrase.level
    return Level.INFO
