"""Entries of several lines: stack traces, dumps, statements after an error, two-line headers. Pure.

Each line stays a row of its own, with time, host and program of the entry that it continues, and
the label ``CONTINUES``: it raises nothing by itself. A line without a header belongs to the newest
entry of its file or sender when it looks like a continuation, or when the line before announced
one. A line with a header continues only the newest entry of the same program on the same host.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiops_core.models import Level
from aiops_core.normaliser import moments
from aiops_core.normaliser.context import NAME, PROGRAMS, OpenEntry, SenderContext
from aiops_core.normaliser.parsed import ParsedLine

CONTINUES = "log.continues"
EXCEPTION = "exception.type"

LONGEST_HEADER, LONGEST_TIME = 200, 40  # characters
OPEN_FOR = 60.0  # seconds of arrival after which nothing continues an entry
NEAR = 5.0  # seconds of arrival within which a line without a time is of its neighbour's time

# What the next lines of an entry are; "": only what looks like a continuation continues it.
TRACE, PYTHON, GO, HEADER, RECORD = "trace", "python", "go", "header", "record"
EXPECTED = "expected"  # an entry that speaks of an exception, whatever its level

_SEVERE = {Level.WARNING.value, Level.ERROR.value, Level.CRITICAL.value}
_FRAME = re.compile(
    r"""at\ (?:async\ |new\ |Object\.)?[^\s()]+(?:\ \[as\ [^\]]+\])?\ ?\(.*|at\ \S+:\d+(?::\d+)?\)?$
    |at\ [\w.$<>`\[\],]+\(.*\)(?:\ in\ .*)?$
    |\.\.\.\ \d+\ (?:more|common\ frames\ omitted)
    |(?:Caused\ by|Suppressed|Wrapped\ by|Root\ cause|Nested\ exception(?:\ is)?)\b:?\ ?\S
    |---\ ?(?:End\ of\ |>\ \S)|--->\ \S
    |File\ "[^"]*",\ line\ \d+|Traceback\ \(most\ recent\ call\ last\)
    |During\ handling\ of\ the\ above\ exception|The\ above\ exception\ was\ the\ direct\ cause
    |\(?Background\ on\ this\ error\ at:|\[(?:SQL|parameters):\ |[~^]+[\^~]*$
    |goroutine\ \d+\ \[|created\ by\ [\w./*()-]+|/\S+\.go:\d+|exit\ status\ \d+$|\[signal\ SIG
    |from\ \S+:\d+:in\ |from\ \S+\.rb:\d+|\S+\.rb:\d+:in\ `[^']*'$
    |\#\d+\ +(?:\{main\}|0x[0-9a-f]+\ in\ |\S+\(\d+\):\ |\[internal\ function\])
    |thrown\ in\ .*\ on\ line\ \d
    |PHP\ +\d+\.\ |(?:PHP\ )?Stack\ trace:$|stack\ backtrace:$|note:\ run\ with\ `?RUST_BACKTRACE
    |\d+:\ +(?:0x[0-9a-f]+\ -\ )?[\w<][\w<>:\ ]*::|\S*\.so[\w.]*\([^)]*\)\ ?\[0x
    |Node\.js\ v\d+""",
    re.VERBOSE,
)
_KERNEL_DUMP = re.compile(
    r"""(?:\[[<\ ]?[0-9a-f]{8,16}>?\]\ )?(?:\?\ )?[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+
    |\[<[0-9a-f]{8,16}>\]|Call\ [Tt]race:|</?(?:TASK|IRQ|NMI|EOE|EOI)>|[RE][A-Z0-9]{2}:\ [0-9a-f]{8}
    |[RE]IP:?\ [0-9a-f]{4}:|Code:\ (?:<?[0-9a-f]{2}>?\ ){4}|Modules\ linked\ in:|Hardware\ name:
    |CPU:\ \d+\ (?:UID:\ \d+\ )?PID:\ \d+|---\[\ end\ |CR2:\ |CS:\ |FS:\ |DR0:\ |PKRU:\ |ORIG_RAX:
    |x\d+\ *:\ [0-9a-f]{16}|pstate:\ |[ls][pr]\ :\ |Tainted:\ |Workqueue:\ |Stack:$
    |raw:\ [0-9a-f]{16}|Rebooting\ in\ \d+\ seconds""",
    re.VERBOSE,
)
_SUFFIXES = (
    *("Exception", "Error", "Throwable", "Failure", "Fault", "Interrupt", "Exit", "Timeout"),
    *("Refused", "Death"),
)
_SUFFIX = f"(?:{'|'.join(_SUFFIXES)})"
_KERNELS = ("kernel", "vmkernel")
# The first words of what the patterns above and below match, for a quick look.
_FIRST_WORDS = frozenset(
    (
        *("at", "...", "Caused", "Suppressed", "Wrapped", "Root", "Nested", "---", "--->", "File"),
        *("Traceback", "During", "The", "(Background", "goroutine", "created", "exit", "from"),
        *("thrown", "PHP", "Stack", "stack", "note:", "Exception", "Unhandled", "Uncaught"),
        *("thread", "fatal"),
    )
)
_FIRST_SIGNS = frozenset("#/~^[<-0123456789")
WORD = 200  # characters in which the first word is
_QUALIFIED = re.compile(
    rf"(?P<type>(?:[A-Za-z_$][\w$]*(?:\.|::|\\))+[A-Za-z_$][\w$]*?{_SUFFIX}\w*)(?=:|\s*$|\s\(|\s-)"
)
_SIMPLE = re.compile(rf"(?P<type>[A-Z][\w$]*?{_SUFFIX})(?=:\s|:?$)")
_OF_PYTHON = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?::\s.*)?$")
_STATED = re.compile(
    rf"(?<![\w.$/])(?P<type>(?:[a-z_][\w$]*\.)+[A-Z][\w$]*?{_SUFFIX}(?![\w.])"
    r"|[A-Z]\w*(?:Exception|Error)(?=:|\s\())"
)
_OWN_TRACE = re.compile(r"Exception in thread |Unhandled |Uncaught |panic: |thread '.*' panicked")
_ANNOUNCES = ("xception", "rror", "ail", "aught", "tack", "race", "nable", "ould not")
_CLOSES = re.compile(r"[\]})]+[;,]?$")
# What databases add to the entry before, in the languages that servers are set to.
_ADDITIONS = frozenset(
    (
        *("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION", "BACKTRACE"),
        *("TIPP", "ZUSAMMENHANG", "ANWEISUNG", "ORT", "ANFRAGE"),
        *("DÉTAIL", "ASTUCE", "CONTEXTE", "INSTRUCTION", "REQUÊTE", "EMPLACEMENT"),
        *("DETALLE", "SUGERENCIA", "CONTEXTO", "SENTENCIA"),
        *("DETTAGLIO", "SUGGERIMENTO", "CONTESTO", "ISTRUZIONE"),
        *("DETALHE", "DICA", "COMANDO"),
        *("ПОДРОБНОСТИ", "ПОДСКАЗКА", "КОНТЕКСТ", "ОПЕРАТОР"),  # noqa: RUF001
    )
)
_ADDITION = re.compile(rf"(?:{'|'.join(sorted(_ADDITIONS))}):\s")
_JAVA_LOGGING = re.compile(
    r"(?P<time>.{12,40}?) (?P<class>[\w$]+(?:\.[\w$<>]+)+) (?P<method>[\w$<>]+)$"
)
_SAMBA = re.compile(
    r"\[(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?),\s*\d+(?:[,\s][^\]]*)?\]"
    r"\s+\S+:\d+\((?P<method>\w+)\)$"
)
_JAVA_LEVEL = re.compile(
    r"(?P<level>SEVERE|WARNING|INFO|CONFIG|FINE[RST]*|SCHWERWIEGEND|WARNUNG|INFORMATION\w*|GRAVE"
    r"|AVERTISSEMENT|INFOS|ADVERTENCIA|ERNSTIG|WAARSCHUWING|AVVERTENZA)\s?: "
)
_JAVA_LEVELS = {
    **dict.fromkeys(("SEVERE", "SCHWERWIEGEND", "GRAVE", "ERNSTIG"), Level.ERROR),
    **dict.fromkeys(("WARNING", "WARNUNG", "AVERTISSEMENT", "ADVERTENCIA"), Level.WARNING),
    **dict.fromkeys(("WAARSCHUWING", "AVVERTENZA"), Level.WARNING),
    **dict.fromkeys(("FINE", "FINER", "FINEST"), Level.DEBUG),
}
# Events of service processors, a field a line: the message comes after its time and severity.
_FIELD = re.compile(
    r"(?P<key>Record(?: ?(?:ID|Id))?|SeqNumber|Date/Time|Date|Timestamp|Source|Severity|Message ID"
    r"|Message Arg\s+\d+|MessageArgs?|Category|AgentID|FQDD|RawEventData|Description|Message"
    r"|Network|Originator|EventID)\s*(?:[:=])\s*(?P<value>.*)$"
)
_FIRST_FIELDS = ("Record", "SeqNumber")
_SEVERITIES = {
    **dict.fromkeys(("critical", "non-recoverable", "nonrecoverable", "fatal"), Level.CRITICAL),
    **dict.fromkeys(("non-critical", "noncritical", "warning", "caution"), Level.WARNING),
    **dict.fromkeys(("major", "error"), Level.ERROR),
}


def may_continue(read: ParsedLine, text: str) -> bool:
    """Whether *text* has no header, or is only a header."""
    if read.host not in (None, "AM", "PM"):  # the half of a day that Java's own logging writes
        return False
    return read.ts is None or len(text) <= LONGEST_HEADER


def of_bare(
    line: str, read: ParsedLine, now: datetime, context: SenderContext
) -> ParsedLine | None:
    """*line*, which was *read* so, as a part of an entry; None when it is an entry by itself."""
    line = _PRIORITY.sub("", line, count=1)
    text = line.strip()
    entry = _owner(text, now, context)
    if found := _of_header(text, read, now, context, entry):
        return found
    if read.ts is not None:
        return None
    if entry is None:
        return _part(text, OpenEntry()) if _is_orphan(text) else None
    if entry.trace == HEADER:
        return _first_of(entry, read)
    if entry.trace == RECORD and _RULE.match(text):
        return _part(text, entry)
    if _continues(line, text, entry):
        return _continued(text, entry)
    entry.trace = ""
    return None


def of_entry(line: ParsedLine, now: datetime, context: SenderContext) -> ParsedLine:
    """*line*, which has a header of its own, marked if it continues; it becomes the newest."""
    entry = _of_program(line, now, context)
    if not _is_special(line, entry):
        return remember(line, now, context, _expected(line.msg))
    if _LOCATION.fullmatch(line.msg):  # the header of Samba: the message is on the next line
        remember(line, now, context, HEADER)
        return _marked(line, {CONTINUES: "true"})
    if entry is not None and _continues_program(line, entry):
        entry.arrived = now.timestamp()
        return _marked(line, _continued(line.msg, entry).labels)
    if entry is None and _is_orphan(line.msg):
        return _marked(line, {CONTINUES: "true"})
    return remember(line, now, context, _announced(line.msg) or _expected(line.msg))


def remember(line: ParsedLine, now: datetime, context: SenderContext, trace: str) -> ParsedLine:
    """*line* is the newest entry of its program; returns it with the exception that it names."""
    host, service = (line.host or "")[:NAME], (line.service or "")[:NAME]
    entries = context.entries
    entry = entries[-1] if entries else None
    if entry is None or entry.host != host or entry.service != service:
        others = [one for one in entries if one.host != host or one.service != service]
        entry = OpenEntry(host, service)
        context.entries = [*others[-PROGRAMS + 1 :], entry]
    entry.level = line.level.value if line.level else ""
    entry.at = line.ts.timestamp() if line.ts else 0.0
    entry.arrived = now.timestamp()
    entry.trace, entry.event_id = trace, ""
    if trace and EXCEPTION not in line.labels and (stated := _exception_in(line.msg)):
        return line._replace(labels={**line.labels, EXCEPTION: stated})
    return line


def _is_special(line: ParsedLine, entry: OpenEntry | None) -> bool:
    """A quick look at the first word: whether the message may be more than an entry of one line."""
    first = line.msg[:WORD].split(None, 1)
    if not first or (entry is not None and entry.trace in (PYTHON, GO)):
        return True
    word = first[0]
    if word in _FIRST_WORDS or word[0] in _FIRST_SIGNS or "." in word or "::" in word:
        return True
    if word[-1] == ":":
        return word[:-1] in _ADDITIONS or word[:-1].endswith(_SUFFIXES) or word == "panic:"
    return word.endswith(_SUFFIXES) or line.service in _KERNELS


def level_of_exception(text: str) -> Level | None:
    """A line that begins with an exception is an error, whatever the words of the exception."""
    return Level.ERROR if _announced(text) else None


def time_of_neighbour(now: datetime, context: SenderContext) -> datetime | None:
    """The newest time of the sender, if its line has just arrived: that of a line without one."""
    near = abs(now.timestamp() - context.newest_arrived) <= NEAR
    return datetime.fromtimestamp(context.newest, UTC) if near and context.newest else None


def _owner(text: str, now: datetime, context: SenderContext) -> OpenEntry | None:
    """The entry that *text* may continue: the newest; of a stack trace the newest that has one."""
    known = [one for one in context.entries if abs(now.timestamp() - one.arrived) <= OPEN_FOR]
    if not known:
        return None
    if known[-1].trace == "" and len(known) > 1 and _FRAME.match(text):
        return next((one for one in reversed(known) if one.trace), known[-1])
    return known[-1]


def _of_program(line: ParsedLine, now: datetime, context: SenderContext) -> OpenEntry | None:
    host, service = (line.host or "")[:NAME], (line.service or "")[:NAME]
    for entry in reversed(context.entries):
        if (entry.host, entry.service) == (host, service):
            return entry if abs(now.timestamp() - entry.arrived) <= OPEN_FOR else None
    return None


def _is_orphan(text: str) -> bool:
    """A part of an entry that was not seen. A traceback begins one."""
    return bool(_FRAME.match(text) or _ADDITION.match(text)) and not text.startswith("Traceback")


def _continues(line: str, text: str, entry: OpenEntry) -> bool:
    """Whether *text*, the *line* without its indentation, continues *entry*."""
    if _OWN_TRACE.match(text):
        return False
    if text.startswith("Traceback (most"):
        return entry.level in _SEVERE or entry.trace in (TRACE, PYTHON, EXPECTED)
    if _FRAME.match(text):
        return True
    header = bool(entry.at or entry.service)
    indented = line[:1] in " \t"
    if (header or entry.trace) and (indented or _ADDITION.match(text)):
        return True
    if entry.trace == PYTHON and _OF_PYTHON.match(text):
        return True
    if entry.trace == GO and text.endswith(")") and "(" in text:
        return True
    if entry.trace and _CLOSES.match(text):
        return True
    return _is_exception_of(text, entry)


def _is_exception_of(text: str, entry: OpenEntry) -> bool:
    """Whether *text* names the exception that *entry*, which has a header, has reported."""
    if not (entry.at or entry.service) or entry.trace not in ("", EXPECTED, PYTHON):
        return (
            False  # a second exception is the next entry, unless the first says that it caused it
        )
    reported = entry.level in _SEVERE or entry.level == Level.DEBUG.value or bool(entry.trace)
    return reported and bool(_QUALIFIED.match(text) or _SIMPLE.match(text))


def _continues_program(line: ParsedLine, entry: OpenEntry) -> bool:
    """Whether *line*, of the same program as *entry*, continues it."""
    text = _KERNEL_TIME.sub("", line.msg)
    if _ADDITION.match(text) or (_FRAME.match(text) and not text.startswith("Traceback")):
        return True
    if text.startswith("Traceback (most"):
        return entry.level in _SEVERE
    if line.service in _KERNELS and _KERNEL_DUMP.match(text):
        return True
    if entry.trace == PYTHON and _SIMPLE.match(text):
        return True
    if entry.trace == GO and text.endswith(")") and _GO_CALL.match(text):
        return True
    states_more = line.level is not None and line.level.value not in ("info", entry.level)
    return not states_more and entry.level in _SEVERE and bool(_QUALIFIED.match(text))


_LOCATION = re.compile(r"(?:[\w./-]+/)?[\w-]+\.(?:c|cc|cpp|h):\d+(?:\(\w+\))?")
_KERNEL_TIME = re.compile(r"\[\s*\d+\.\d+\]\s*(?:\[ *[TC]\d+\]\s*)?")
_PRIORITY = re.compile(r"^\s*<\d{1,3}>")
_RULE = re.compile(r"[-=*_#]{5,}$")
_GO_CALL = re.compile(r"[\w./*()-]+\.[\w.*()-]+\(.*\)$")


def _continued(text: str, entry: OpenEntry) -> ParsedLine:
    """*text* as a part of *entry*, which then expects what *text* announces."""
    found = _QUALIFIED.match(text) or _SIMPLE.match(text)
    if found is None and entry.trace == PYTHON:
        found = None if _FRAME.match(text) else _OF_PYTHON.match(text)
    if found is None and text.startswith(("Caused by: ", "Suppressed: ", "---> ")):
        found = _QUALIFIED.match(
            text.split(" ", 1 if text[0] == "-" else text.count(":", 0, 12) + 1)[-1]
        )
    if found and entry.trace == PYTHON:
        entry.trace = TRACE
    elif _FRAME.match(text) or found:
        entry.trace = _announced(text) or entry.trace or TRACE
    return _part(text, entry, found["type"] if found else "")


def _part(text: str, entry: OpenEntry, exception: str = "") -> ParsedLine:
    labels = {CONTINUES: "true"} | ({EXCEPTION: exception} if exception else {})
    return _with_context(text, Level.INFO, entry, labels)


def _with_context(
    text: str, level: Level | None, entry: OpenEntry, labels: dict[str, str]
) -> ParsedLine:
    return ParsedLine(
        text,
        level,
        datetime.fromtimestamp(entry.at, UTC) if entry.at else None,
        host=entry.host or None,
        service=entry.service or None,
        labels=labels,
    )


def _marked(line: ParsedLine, labels: object) -> ParsedLine:
    more = dict(labels) if isinstance(labels, dict) else {CONTINUES: "true"}
    return line._replace(level=Level.INFO, labels={**line.labels, **more})


def _announced(text: str) -> str:
    """The kind of lines that follow *text*."""
    if text.startswith("Traceback (most") or text.endswith("Traceback (most recent call last):"):
        return PYTHON
    if text.startswith(("goroutine ", "panic: ", "fatal error: ")):
        return GO
    if _OWN_TRACE.match(text) or _QUALIFIED.match(text) or _SIMPLE.match(text):
        return TRACE
    return ""


def _expected(text: str) -> str:
    if text.endswith(":"):
        return EXPECTED
    return EXPECTED if any([part in text for part in _ANNOUNCES]) else ""  # noqa: C419 - faster


def _exception_in(text: str) -> str:
    if "Exception" not in text and "Error" not in text and "Throwable" not in text:
        return ""
    found = _STATED.search(text)
    return found["type"] if found else ""


# ------------------------------------------------------------------------- headers of two lines
def _of_header(
    text: str, read: ParsedLine, now: datetime, context: SenderContext, entry: OpenEntry | None
) -> ParsedLine | None:
    """*text* if it is only a header, whose message comes on the next line."""
    if entry and entry.trace == RECORD and (field := _FIELD.match(text)):
        return _of_record(text, field["key"].split()[0], field["value"].strip(), entry, now)
    if text.startswith(_FIRST_FIELDS) and _FIELD.match(text):
        return _opened(text, OpenEntry(trace=RECORD), now, context)
    if found := _SAMBA.match(text):
        service = read.service or "samba"
        return _dated(text, found["time"], found["method"], now, context, service)
    if (found := _JAVA_LOGGING.match(text)) and "=" not in text:
        return _dated(text, found["time"], f"{found['class']}.{found['method']}", now, context)
    if 8 <= len(text) <= LONGEST_TIME and text[:1].isalnum():
        return _dated(text, text, "", now, context)
    return None


def _dated(
    text: str, time: str, function: str, now: datetime, context: SenderContext, service: str = ""
) -> ParsedLine | None:
    ts = moments.read_any(time, now)
    if ts is None:
        return None
    opened = _opened(text, OpenEntry("", service, at=ts.timestamp(), trace=HEADER), now, context)
    return opened._replace(
        labels={**opened.labels, **({"code.function.name": function} if function else {})}
    )


def _opened(text: str, entry: OpenEntry, now: datetime, context: SenderContext) -> ParsedLine:
    entry.arrived = now.timestamp()
    if entry.at:
        context.newest, context.newest_arrived = entry.at, entry.arrived
    context.entries = [*context.entries[-PROGRAMS + 1 :], entry]
    return _part(text, entry)


def _first_of(entry: OpenEntry, read: ParsedLine) -> ParsedLine:
    """What was *read* after a header: the entry that the header announced."""
    named, level = _JAVA_LEVEL.match(read.msg), read.level
    level = _JAVA_LEVELS.get(named["level"], Level.INFO) if named else level
    exception = _exception_in(read.msg)
    entry.trace = _announced(read.msg)
    entry.level = level.value if level else Level.ERROR.value if exception else ""
    found = _with_context(read.msg, level, entry, {EXCEPTION: exception} if exception else {})
    service, labels = read.service or found.service, {**read.labels, **found.labels}
    return found._replace(service=service, labels=labels)


def _of_record(text: str, key: str, value: str, entry: OpenEntry, now: datetime) -> ParsedLine:
    """A field of a record; its message is the entry, the others are parts of it."""
    entry.arrived = now.timestamp()
    match key:
        case "Date/Time" | "Timestamp" | "Date":
            ts = moments.read_any(value, now)
            entry.at = ts.timestamp() if ts else 0.0
        case "Severity":
            entry.level = _SEVERITIES.get(value.lower(), Level.INFO).value
        case "Record" | "SeqNumber":
            entry.at, entry.level, entry.event_id = 0.0, "", ""
        case "Message" if " ID" in text[:12]:
            entry.event_id = value[:NAME]
        case "Description" | "Message" if value and "Arg" not in text[:12]:
            labels = {"event.id": entry.event_id} if entry.event_id else {}
            return _with_context(value, Level(entry.level) if entry.level else None, entry, labels)
    return _part(text, entry)
