"""What a line of a log says, in a few words that a title has space for. Pure.

Times, levels, ids, hexadecimal numbers, fields and what others wrote are left out; a path is cut to
its last part. What remains is the device's own sentence, or nothing when there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from aiops_core.normaliser.statement import HIDDEN, statement

LONGEST = 64  # characters of a gist
LEAD_WORDS = 3  # of what stands before a colon and may be left out
HALF = 0.5
LOOKED_AT = 400  # characters of a line; what matters stands before that
KEPT = 4096  # gists that are remembered: lines of a storm are alike
ELLIPSIS = "…"

_LEVEL = (
    r"(?:EMERG(?:ENCY)?|PANIC|ALERT|CRIT(?:ICAL)?|FATAL|SEVERE|ERR(?:OR)?|WARN(?:ING)?|NOTICE"
    r"|INFO(?:RMATIONAL)?|DEBUG|FAILURE|EXCEPTION)"
)
_ONLY_LEVEL = re.compile(_LEVEL, re.IGNORECASE)
_KEYS = r"(?:message|msg|logdesc|summary|description|error|err|reason|title|event|alarm|text)"
# The device's own sentence among fields: msg="…", error=…, "message": "…".
_SENTENCES = (
    re.compile(rf'(?i)\b{_KEYS}"?\s?[=:]\s?"(?P<said>[^"]*[^\W\d_][^"]* [^"]*)"'),
    re.compile(rf"(?i)\b{_KEYS}=(?P<said>[a-z][^=,;\"]{{7,}}?)(?=[,;:]|\s+[\w.-]+=|$)"),
    re.compile(r"(?i)\bmessage(?: text)? ?[:=] (?P<said>\S+ \S.*)"),
)
_REPEATED = re.compile(r"(?i)^(?:last )?message repeated \d+ times:? ?\[? ?(?P<said>.*?)\]?$")

# What may stand in front of the sentence; taken away again and again.
_FRONT = re.compile(
    r"^(?:"
    r"<[\w.-]+>(?=\s)"
    r"|[\s<>*|:;,.#\u2026\\-]+(?![\w-]*-\d-)"
    r"|[#%]{1,2}[\w-]+(?:/\d/[\w-]+)?(?:\([a-z]\))?(?:\[\d+\])?\s?:"  # %LINK-3-UPDOWN:
    r"|%[A-Z][\w-]*-\d-\w+(?=\s)"
    r"|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+:(?=\s)"  # SNMP_TRAP_LINK_DOWN:
    r"|[\w.-]+:\d+ error\s*:"  # www.example.net:443 error:
    rf"|[\[<(]?\b{_LEVEL}\b[\])>]?(?:\s*[:|,-]+|(?=\s)|$)"
    rf"|(?i:{_LEVEL}):"
    r"|(?:OpenSSL: )?error:[0-9A-F]{6,}:[\w ]+:+"
    r"|\[[^\]]{0,60}\]:?"
    r"|[0-9a-f]{4,}:(?=\s)"
    r"|\d+(?:\s*[:|]\s*|$)"
    r"|\d{1,2}(?=\[)"  # 05[IKE]
    r"|[a-z]+\d+:\d+\)"  # cpu4:2097582)
    r"|(?:event|code|sel) (?:id )?#?[0-9a-f]+\s*[:|]"
    r"|(?=[\w-]*\d{2})[A-Z][A-Z0-9_-]{3,}:(?=\s)"  # ORA-01157:, AH00957:
    r"|[\w./-]+\.(?:c|cc|cpp|go|py|java|js|rs):\d+:?"
    r"|(?:[a-z]\w*\.){2,}\w*[A-Z]\w*:?(?=\s+[A-Z])"  # org.apache.x.Service
    r"|[A-Z][a-z]+[A-Z]\w*\s+-(?=\s)"  # PmsController -
    r"|\((?:\d+|[A-Z][a-z]+)\)(?=\s*[A-Z])"
    r"|DHCP[A-Z]{3,}(?:\([\w.-]+\))? (?:(?:from|for|on|of) )?(?:[0-9a-f]{2}:){5}[0-9a-f]{2}:?(?=\s)"
    r")\s*"
)


class _Noise(NamedTuple):
    """What says nothing to a person; only looked for in texts that have *needed*."""

    needed: str
    pattern: re.Pattern[str]
    instead: str = " "


def _noise(needed: str, pattern: str, instead: str = " ") -> _Noise:
    return _Noise(needed, re.compile(pattern), instead)


_DIGIT = "0"  # as what is needed: any digit
_NOISES = (
    _noise(
        "ms",
        r"\bduration: (\d+)(?:\.\d+)? ms\s+(?:statement|execute|parse|bind|fetch|plan)\b.*",
        r"a statement took \1 ms",
    ),
    _noise("\\", r"\\(?:0?42|\")"),
    _noise("", r"[\"`\u201c\u201d\u201e\u00ab\u00bb]"),
    _noise("'", r"(?<!\w)'([^']*)'(?!\w)", r"\1"),
    _noise("<", r"<\*>"),
    _noise("<", r"<([^<>]{1,80})>", r"\1"),
    # times and dates
    _noise(
        ":",
        r"(?:\b(?:on|at) )?\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? [A-Z][a-z]{2} +\d+ [\d:]{5,8}"
        r"(?: \d{4})?",
    ),
    _noise("-", r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.,]*(?:Z|[+-]\d\d:?\d\d)?)?"),
    _noise("/", r"\b(?:\d{1,2}/\d{1,2}/\d{4}|\d{4}/\d\d/\d\d)\b-?"),
    _noise(":", r"(?<![\d:])\d\d:\d\d:\d\d(?:[.,]\d+)?(?![\d:])"),
    # brackets with ids, numbers and fields
    _noise("{", r"\{[^{}]*\}?"),
    _noise("[", r"\[(?:[^\[\]]*[=:@][^\[\]]*|[\d\s.,:-]*|0x[0-9a-fA-F]+|\w*\d\w*)\]"),
    _noise("(", r"(?<=\w)\(\d+\)(?!\w)", ""),  # up(1)
    _noise("(", r"(?:\s|^)\((?:[^()\s]*[=:][^()]*|[\d\s.,:/-]+|s|\w*\d{4}\w*)\)(?!\w)", ""),
    _noise("(", r"\s\((?i:pid|command|id|code|error|hwid|uid)\W?\s?\w*\)", ""),
    # a path and an address of the web are cut to their ends that say most
    _noise("/", r"\b[a-z][a-z0-9+.-]*://([^\s/?#]*)\S*", r"\1"),
    _noise("/", r"(?<![\w/])(?:/[\w.@%+~$&#-]+)*/([\w.@%+~$&#-]+)", r"\1"),
    _noise("\\", r"(?<![\w\\])(?:[A-Za-z]:)?(?:\\[\w.@%+~$&# -]+)*\\([\w.@%+~$&#-]+)", r"\1"),
    # ids
    _noise("0x", r"\s?#?\b0x[0-9a-fA-F]+\b"),
    _noise("-", r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4,8}){2,3}-[0-9a-fA-F]{12}\b"),
    _noise(".service", r"(?<=\w)\.service\b", ""),
    _noise("-", r"(?<![\w:.-])([A-Z][A-Z-]{2,})[:-](?=[\w:.-]{16})[\w:.-]*\d{4}[\w:.-]*", r"\1"),
    _noise(_DIGIT, r"\b(?:\w+\.)?(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b"),
    _noise(_DIGIT, r"(?<![\w.=])\d{7,}(?:us|ms|ns)?\b"),
    _noise(
        _DIGIT,
        r"\b((?:grand)?child|(?:[Pp]rocess|[Tt]hread|[Ww]orker|[Ss]ession|[Jj]ob|[Rr]equest"
        r"|[Cc]onnection|[Tt]ransaction|[Qq]uery|[Tt]ask|[Cc]lient))(?: id)?[ #:]+\d{2,}\b",
        r"\1",
    ),
    _noise(_DIGIT, r"\b(?i:pid|tid|uid|gid|rc|seq|opid|errno|eid)[ #:=]+-?\d+\b", ""),
    _noise(":", r"\b(?i:severity|state|priority|category|class(?:ification)?): \w+\b,?"),
    _noise(" port ", r",? port \d{4,5}\b(?: ssh2)?", ""),
    # fields, but for names of things
    _noise("=", r"(?<![\w.])(?:name|interface|pool|disk|volume|device)=([\w.:/-]+),?", r"\1"),
    _noise("=", r"(?<![\w.])[\w.-]+=[^\s,;]*[,;]?"),
    _noise(_DIGIT, r"(?:\s+-?\d+){2,}\s*$", ""),
)
_TIDY = (
    _noise("|", r"\s*\|\s*", ", "),
    _noise("\\", r"\\+\s*", ", "),
    _noise("[", r"\[\s*\]"),
    _noise("(", r"(?<!\w)\(\s*\)"),
    _noise(" ", r"\s+([,;:.!?)\]])", r"\1"),
    _noise("", r"(?:[,;:]\s+)+[,;:](?=\s|$)|[,;:]\s+(?=[,;:]\s)|,{2,}", ","),
    _noise(HIDDEN, rf"(?:{HIDDEN}\s*)+", f"{HIDDEN} "),
)
_PAIR = re.compile(r"([A-Za-z][\w.-]*)=\"?([^\s,;\"=]*[A-Za-z][^\s,;\"=]*)")
_SENTENCE_END = re.compile(r"(?<=[\w)])[.!?](?= +[A-Z(])")
_CLAUSE_END = re.compile(r"; |\. | - | \u2013 | \u2014 |, | \(| \[| because | while | when ")
_OPENS = re.compile(r"(?i)(?:can|could|fail|unable|error|no|not|invalid|lost|bad)\w*\b")
_LEAD = re.compile(r"([^:]{1,48}):\s+(?!\d+ )(?=(?:\S+\s+){2})")
# Words and signs that say nothing at the end.
_DANGLING = re.compile(
    r"(?:[\s,;:({\[<>=/\\|+-]+|(?<=\s)(?i:with|of|in|for|at|from|to|by|on|as|and|or|the|a|an"
    rf"|after|due|is|was|has|have|had|will|that|which|because|than|via|port|it|says)|(?<=\s){HIDDEN})$"
)
_CAPITAL_BEHIND_NAME = re.compile(r"^(\w+\(\)) ([A-Z])(?=[a-z'\u2019 ])")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CLOSING = {"(": ")", "[": "]"}


@lru_cache(KEPT)
def gist(line: str) -> str:
    """The few words that *line*, a message without its header, comes down to; empty when it has
    none. At most ``LONGEST`` characters, without line breaks."""
    first = line.strip().split("\n", 1)[0][:LOOKED_AT]
    text = _cleaned(_said(statement(first, {})))
    if " " not in text:
        text = _cleaned(_pairs(first)) or text
    if not _WORD.search(text) or _ONLY_LEVEL.fullmatch(text):
        return ""
    return shortened(_without_front(_without_leads(text)), LONGEST)


def shortened(text: str, room: int) -> str:
    """*text* in at most *room* characters: its beginning up to the end of a clause or a word."""
    if len(text) <= room:
        return text
    ends = [end.start() for end in _CLAUSE_END.finditer(text[: room + 2]) if end.start() <= room]
    if ends and ends[-1] >= room // 2:
        return trimmed(text[: ends[-1]])
    head, _, _ = text[:room].rpartition(" ")
    return trimmed(head if len(head) >= room // 2 else text[: room - 1])[: room - 1] + ELLIPSIS


def trimmed(text: str) -> str:
    """*text* without words and signs at its end that need others behind them."""
    for opening, closing in _CLOSING.items():
        if text.count(opening) > text.count(closing):
            text = text[: text.rindex(opening)]
    while found := _DANGLING.search(text):
        text = text[: found.start()]
    return text


def _said(text: str) -> str:
    """The part of *text* that is a sentence, where fields stand around it."""
    if repeated := _REPEATED.match(text):
        return repeated["said"]
    if "=" not in text and ":" not in text:
        return text
    return next((found["said"] for one in _SENTENCES if (found := one.search(text))), text)


def _cleaned(text: str) -> str:
    text = _replaced(_without_front(text), _NOISES)
    text = _without_front(" ".join(_replaced(text, _TIDY).split()))
    text = _CAPITAL_BEHIND_NAME.sub(lambda m: f"{m[1]} {m[2].lower()}", text)
    end = _SENTENCE_END.search(text)
    if end and len(text[: end.start()].split()) >= 3:
        text = text[: end.start()]
    return trimmed(text.rstrip(" .!?"))


def _replaced(text: str, noises: Sequence[_Noise]) -> str:
    has_digits = any(map(str.isdigit, text))
    for needed, pattern, instead in noises:
        if has_digits if needed == _DIGIT else needed in text:
            text = pattern.sub(instead, text)
    return text


def _without_front(text: str) -> str:
    while (found := _FRONT.match(text)) and found.end():
        text = text[found.end() :]
    return text


def _without_leads(text: str) -> str:
    """*text* without ``module: part:`` before it, where that is said again or is too much."""
    is_long = False
    while (lead := _LEAD.match(text)) and not _OPENS.match(text):
        is_long = is_long or len(text) > LONGEST
        few = lead[1].count(" ") < (LEAD_WORDS if len(text) > LONGEST else 1)
        share = _repeated(lead)
        if not (share == 1 or (is_long and (few or share >= HALF))):
            break
        text = text[lead.end() :]
    return text


def _repeated(lead: re.Match[str]) -> float:
    """The share of the words of *lead* that what follows says again."""
    rest, said = lead.string[lead.end() :].casefold(), lead[1].casefold().split()
    return sum(word in rest for word in said) / max(len(said), 1)


def _pairs(text: str) -> str:
    """What *text* says that has only fields: ``vdev sdc1, vdev_state DEGRADED``."""
    return ", ".join(f"{name} {value}" for name, value in _PAIR.findall(text)[-3:])


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``43rd``, ``112th``."""
    teens = 10 < number % 100 < 14
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
