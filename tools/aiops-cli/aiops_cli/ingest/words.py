"""The table that finds a level in the words of a message.

It is conservative: a false ``error`` costs an operator's trust, and detection has its own patterns.
So a word counts only as a word (not in a path, a URL or a name), not when it is denied (``no errors``,
``0 failed``, ``failed=0``), and a setting (``panic=10``) says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiops_core.models import Level

_NOT_PART_OF_A_NAME = r"(?<![\w./\\=&?%-])"
_NOT_DENIED = r"(?<!\bno )(?<!\bnot )(?<!\bzero )(?<!\bany )(?<!\bwithout )(?<!\b0 )(?<!\bnon-)"
_VALUE_ENDS = r"(?=\s*(?:$|[,;.)\]}\"'|/])|\s+\w+\s*[:=])"
NOTHING = rf"(?:0|none|no|nil|null|false|off|-){_VALUE_ENDS}"  # but "error: no route to host"
_ENDS = rf"(?![\w/-]|[.\\]\w|\s*[=:]\s*[\"']?{NOTHING}|\s*=)"


@dataclass(frozen=True)
class Phrase:
    """*pattern* is tried only where *stem* occurs, which is many times faster; both in lower case."""

    stem: str
    pattern: re.Pattern[str]
    level: Level


def _said(level: Level, *words: str) -> list[Phrase]:
    """A message that names its level: ``... error : ...``."""
    return [
        Phrase(f" {word}", re.compile(rf"\s{word}\s?:\s(?!\s*{NOTHING})"), level) for word in words
    ]


def _words(level: Level, phrases: Mapping[str, str]) -> list[Phrase]:
    """Words that suggest *level*, by a stem that each contains."""
    return [
        Phrase(stem, re.compile(f"{_NOT_PART_OF_A_NAME}{_NOT_DENIED}(?:{words}){_ENDS}"), level)
        for stem, words in phrases.items()
    ]


# The first that matches decides. The attempts of strangers stay warnings although they "fail".
PHRASES: tuple[Phrase, ...] = (
    *_said(Level.CRITICAL, "fatal", "panic", "critical"),
    *_said(Level.ERROR, "error"),
    *_said(Level.WARNING, "warning"),
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
    Phrase(
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
