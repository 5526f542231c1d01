"""The columns of plain lines whose format nobody described: learned from some lines. Pure.

A column is a time, a level, a host or a component when nearly all of its values look like one; the
message is what follows. Nothing is learned without a time or a level.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from aiops_core.models import Level
from aiops_core.normaliser import levels, moments
from aiops_core.normaliser.context import SAMPLE, SAMPLES, ColumnPlan, SenderContext
from aiops_core.normaliser.parsed import ParsedLine

LEAST = 8  # lines from which columns can be learned
MOST_COLUMNS = 12  # that are looked at
MOST_BETWEEN = 3  # columns between the time or level and the component
NEARLY_ALL, MOSTLY = 0.95, 0.9
MOST_DAYS = 1500  # between numbers that are times
FEW = 0.5  # distinct values of a component, of all its values
RELEARN = 16  # lines in a row that do not fit, after which the columns are forgotten

DELIMITERS = ("|", "\t", ";", ",")
_MIN_DELIMITERS = {"|": 2, "\t": 2, ";": 2, ",": 3}
_TOKEN = re.compile(
    r"\[(?:[^\[\]]|\[[^\[\]]{0,80}\]){0,120}\][:,;]?|\([^)]{0,80}\)[:,;]?|<[^>\s]{1,40}>[:,;]?|\S+"
)
_AROUND = "[](){}<>:,;\"'"

_MORE_LEVELS = {
    Level.DEBUG: "dbug trc vrb verb v debug1 debug2 debug3 debug4 debug5 fine1",
    Level.INFO: "inf information hint log statement success msg audit ntc clear cleared s",
    Level.WARNING: "wrn warnings warnin minor attention caution",
    Level.ERROR: "eror failure failed exception fail sev major",
    Level.CRITICAL: "crt ftl fatl emg alr panik kritisch disaster",
}
_LEVELS = levels.BY_WORD | {w: level for level, ws in _MORE_LEVELS.items() for w in ws.split()}
_LEVEL_PREFIX = re.compile(r"(?:level|lvl|sev|severity|prio|priority|loglevel)[=:]", re.IGNORECASE)
_BRACKETED_NUMBER = re.compile(r"[<\[(]([0-7])[>\])]:?")

_NUMBER = re.compile(r"-?\d+|0x[0-9a-fA-F]+")
_ADDRESS = re.compile(
    r"(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){3,7}"
)
_HOST = re.compile(r"(?=[^\d]*\d)(?=[^a-zA-Z]*[a-zA-Z])[a-zA-Z0-9][\w.:-]*[a-zA-Z0-9]")
_THREAD = re.compile(
    r"exec|thread|pool|worker|main|http|nio|timer|task|job|async|sched|event|queue|conn|sess|req|tid|pid"
    r"|v\d",
    re.IGNORECASE,
)
_PROCESS = re.compile(r"\[\d+\]?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HEX = re.compile(r"[0-9a-fA-F-]{8,}")
_WORD = re.compile(r"[A-Za-z_][\w.$/@#-]*(?:\[\d+\])?")
_CLASS = re.compile(
    r"[A-Za-z_]\w*(?:[.$/][\w$]+)+|[A-Z][a-z0-9]+(?:[A-Z]+[a-z0-9]*)+|[A-Z][A-Z0-9_]{2,}"
)


@dataclass(frozen=True)
class _Table:
    """Lines as columns; *rows* have at least *width* tokens."""

    delimiter: str
    rows: list[list[str]]
    width: int

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]

    def bare(self, number: int) -> list[str]:
        return [value.strip(_AROUND) for value in self.column(number)]


def read(line: str, plan: ColumnPlan, now: datetime) -> ParsedLine | None:
    """What *line* says by *plan*; None when it does not fit."""
    tokens, message = _split(line, plan.delimiter, plan.message)
    if len(tokens) < plan.message:
        return None
    bare = [token.strip(_AROUND) for token in tokens]
    ts = None
    if plan.time >= 0:
        written = " ".join(bare[plan.time : plan.time + plan.time_columns])
        ts = moments.read(plan.shape, written, now)
        if ts is None:
            return None
    level = None
    if plan.level >= 0 and (level := _level(tokens[plan.level])) is None:
        return None
    process = bare[plan.process] if plan.process >= 0 else ""
    service, _, pid = bare[plan.service].partition("[") if plan.service >= 0 else ("", "", "")
    process = pid.rstrip("]") or process
    return ParsedLine(
        msg=message or line,
        level=level,
        ts=ts,
        host=(bare[plan.host] or None) if plan.host >= 0 else None,
        service=service or None,
        labels={"process.pid": process} if process else {},
    )


def observe(line: str, now: datetime, context: SenderContext, *, fits: bool) -> None:
    """*line* had no format: remember its beginning, and learn when there are enough.

    *fits*: the columns that are known have read it. They are forgotten when they read none of
    RELEARN lines.
    """
    if fits:
        context.misses = 0
        return
    context.plain += 1
    context.misses += 1
    context.samples = [*context.samples[-SAMPLES + 1 :], line[:SAMPLE]]
    if context.columns is not None and context.misses < RELEARN:
        return
    context.columns = None
    if context.plain >= SAMPLES and context.plain.bit_count() == 1:  # 16, 32, 64, …
        context.columns = learn(context.samples, now)
        if context.columns is not None:
            context.samples, context.plain, context.misses = [], 0, 0


def learn(lines: Sequence[str], now: datetime) -> ColumnPlan | None:
    """The columns of *lines*; None when they have none that say something."""
    texts = [line for line in lines if line.strip()]
    if len(texts) < LEAST:
        return None
    for delimiter in (*DELIMITERS, ""):
        table = _table(texts, delimiter)
        plan = _plan(table, len(texts), now) if table else None
        if plan and _fits(plan, texts, now):
            return plan
    return None


def described(plan: ColumnPlan) -> str:
    """``5 columns learned from 64 lines: time 1-2, level 3, component 4, message 5-``."""
    last = plan.time + plan.time_columns
    parts = [
        f"time {plan.time + 1}" + (f"-{last}" if plan.time_columns > 1 else "")
        if plan.time >= 0
        else "",
        f"level {plan.level + 1}" if plan.level >= 0 else "",
        f"host {plan.host + 1}" if plan.host >= 0 else "",
        f"component {plan.service + 1}" if plan.service >= 0 else "",
        f"process {plan.process + 1}" if plan.process >= 0 else "",
        f"message {plan.message + 1}-",
    ]
    listed = ", ".join(part for part in parts if part)
    return f"{plan.message + 1} columns learned from {plan.lines} lines: {listed}"


def _split(line: str, delimiter: str, most: int) -> tuple[list[str], str]:
    """The first *most* columns of *line*, and the rest."""
    if delimiter:
        parts = [part.strip() for part in line.split(delimiter, most)]
        return parts[:most], "".join(parts[most:])
    tokens: list[str] = []
    end = 0
    for match in _TOKEN.finditer(line):
        if len(tokens) == most:
            return tokens, line[match.start() :].strip()
        tokens.append(match[0])
        end = match.end()
    return tokens, line[end:].strip()


def _table(lines: Sequence[str], delimiter: str) -> _Table | None:
    """*lines* in columns, without the few that have fewer than the others."""
    if delimiter:
        least = _MIN_DELIMITERS[delimiter]
        counts = sorted(line.count(delimiter) for line in lines)
        if counts[int(len(counts) * (1 - MOSTLY))] < least:
            return None
        if delimiter == "," and counts[len(counts) // 10] != counts[-len(counts) // 10]:
            return None
    rows = [_split(line, delimiter, MOST_COLUMNS)[0] for line in lines]
    widths = sorted(map(len, rows))
    width = min(widths[int(len(widths) * (1 - NEARLY_ALL))], MOST_COLUMNS)
    wide = [row for row in rows if len(row) >= width]
    return _Table(delimiter, wide, width) if width >= 2 else None


def _plan(table: _Table, lines: int, now: datetime) -> ColumnPlan | None:
    plan = ColumnPlan(delimiter=table.delimiter, lines=lines)
    taken = _find_time(table, plan, now)
    free = [number for number in range(table.width) if number not in taken]
    plan.level = _find_level(table, free)
    if plan.time < 0 and plan.level < 0:
        return None
    free = [number for number in free if number != plan.level]
    header = max((number for number in taken if number < MOST_COLUMNS - MOST_BETWEEN), default=-1)
    plan.service = _find_service(table, max(header, plan.level), plan, free)
    free = [number for number in free if number != plan.service]
    plan.host = _find_host(table, plan, free)
    used = [plan.time + plan.time_columns - 1, plan.level, plan.host, plan.service]
    last = max(used)
    if table.delimiter:  # a number after the named columns is no message
        while last + 2 < table.width and _share(_is_number, table.bare(last + 1)) >= NEARLY_ALL:
            last += 1
            free.append(last)
    plan.message = min(last + 1, table.width)
    before = [n for n in free if n < plan.message and n != plan.host]
    numbers = [n for n in before if _share(_is_number, table.bare(n)) >= NEARLY_ALL]
    plan.process = next((n for n in numbers if plan.time < 0 or n > plan.time), -1)
    return plan


def _fits(plan: ColumnPlan, lines: Sequence[str], now: datetime) -> bool:
    found = [read(line, plan, now) for line in lines]
    return sum(one is not None for one in found) >= MOSTLY * len(lines)


def _share(holds: Callable[[str], object], values: Sequence[str]) -> float:
    return sum(bool(holds(value)) for value in values) / len(values) if values else 0.0


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


# ------------------------------------------------------------------------------------- what is what
def _find_time(table: _Table, plan: ColumnPlan, now: datetime) -> set[int]:
    """The columns that are a time: a date with a clock before a number before a clock alone.

    Returns all columns that are parts of times.
    """
    found_all: list[tuple[tuple[int, float, float, int], int, int, str]] = []
    order = list(moments.SHAPES)
    for first in range(min(table.width, 9)):
        for count in range(1, min(6, table.width - first) + 1):
            texts = [
                " ".join(value.strip(_AROUND) for value in row[first : first + count])
                for row in table.rows
            ]
            for shape in order:
                if moments.SHAPES[shape].fullmatch(texts[0] or "") is None and (
                    len(texts) < 2 or moments.SHAPES[shape].fullmatch(texts[1]) is None
                ):
                    continue
                found = [when for text in texts if (when := moments.read(shape, text, now))]
                if len(found) < NEARLY_ALL * len(texts) or not _is_time(shape, found, now):
                    continue
                age = abs((now - max(found)).total_seconds())
                rank = (_rank(shape), _spread(found), age, first)
                found_all.append((rank, first, count, shape))
    if not found_all:
        return set()
    _, plan.time, plan.time_columns, plan.shape = min(found_all)
    return {n for _, first, count, _ in found_all for n in range(first, first + count)}


def _rank(shape: str) -> int:
    """Lower is better. A number of seconds is exact, but any number may look like one."""
    order = {"epoch": 1, "bd": 2, "db": 2, "md": 2, "yymmdd": 1, moments.WITHOUT_DATE: 4}
    return order.get(shape, 0)


def _spread(found: Sequence[datetime]) -> float:
    """Days between the first and the last time: of two readings the narrower is right."""
    return round((max(found) - min(found)).total_seconds() / 86400, 1)


def _is_time(shape: str, found: Sequence[datetime], now: datetime) -> bool:
    """Numbers are times only if they do not fall, or are all of the same few years."""
    if shape not in ("epoch", "yymmdd", "ymd digits"):
        return True
    rising = sum(later >= earlier for earlier, later in pairwise(found))
    in_order = rising >= MOSTLY * (len(found) - 1)
    return max(found) <= now + timedelta(days=366) and (in_order or _spread(found) <= MOST_DAYS)


def _level(token: str) -> Level | None:
    if number := _BRACKETED_NUMBER.fullmatch(token):
        return levels.BY_SEVERITY[int(number[1])]
    word = _LEVEL_PREFIX.sub("", token.strip(_AROUND)).strip(_AROUND).lower()
    return _LEVELS.get(word)


def _find_level(table: _Table, free: Sequence[int]) -> int:
    """The column with the most different levels among those whose values are levels."""
    best, most = -1, 0
    for number in free:
        values = table.column(number)
        if _share(_level, values) < NEARLY_ALL:
            continue
        different = {value.strip(_AROUND).lower() for value in values}
        single = max(map(len, different)) == 1
        if len(different) > 9 or (single and len(different) == 1 and different - {"i", "d"}):
            continue
        if len(different) > most:
            best, most = number, len(different)
    return best


def _is_few(values: Sequence[str]) -> bool:
    return len(set(values)) <= max(3, FEW * len(values))


def _find_service(table: _Table, header: int, plan: ColumnPlan, free: Sequence[int]) -> int:
    """The column with names of programs.

    The first that ends with a colon soon after the *header* of time and level, else one of names
    there, else words between time and level, or before the time.
    """
    after = [number for number in free if header < number <= header + MOST_BETWEEN]
    if tagged := [number for number in after if _is_tag(table, number)]:
        return tagged[0]
    for number in after:
        bare = table.bare(number)
        if _share(_is_number, bare) >= NEARLY_ALL or _share(_is_host, bare) >= MOSTLY:
            continue
        if _is_few(bare) and _is_named(table, number):
            return number
        break
    start = plan.time + plan.time_columns if plan.time >= 0 else 0
    between = sorted((number for number in free if start <= number < header), reverse=True)
    for number in (*between, *(number for number in free if number < plan.time)):
        values = table.bare(number)
        words = _share(_WORD.fullmatch, values) >= MOSTLY > _share(_is_host, values)
        if words and _is_few(values):
            return number
    return -1


def _is_tag(table: _Table, number: int) -> bool:
    """``sshd[812]:`` and ``dfs.DataNode:``."""
    values = table.column(number)
    if table.delimiter or _share(lambda value: value[-1:] == ":", values) < MOSTLY:
        return False
    names = [_PROCESS.sub("", value.strip(_AROUND)) for value in values]
    return _is_few(names) and _share(_is_number, names) < MOSTLY


def _is_named(table: _Table, number: int) -> bool:
    """Whether the values of a column after the level are names, and not words of messages."""
    values, bare = table.column(number), table.bare(number)
    if table.delimiter:
        return number < table.width - 1 and _share(_WORD.fullmatch, bare) >= MOSTLY
    if _share(lambda value: value[-1:] == "]", values) >= MOSTLY:
        return _share(_is_number, bare) < MOSTLY
    return _share(_CLASS.fullmatch, bare) >= MOSTLY


def _is_host(value: str) -> bool:
    if _ADDRESS.fullmatch(value):
        return True
    if ".log" in value or _DATE.search(value):
        return False
    return bool(_HOST.fullmatch(value)) and not _THREAD.search(value) and not _HEX.fullmatch(value)


def _find_host(table: _Table, plan: ColumnPlan, free: Sequence[int]) -> int:
    """The column with names of machines: before the level or component, repeated, not bracketed."""
    limit = max(plan.level, plan.service)
    for number in (number for number in free if number < limit):
        values = table.column(number)
        repeated = len(set(values)) <= 0.7 * len(values) or any(
            values == table.column(other) for other in free if other != number
        )
        if repeated and _share(_is_host, values) >= NEARLY_ALL:
            return number
    before = plan.service - 1  # as in syslog: time, host, program and a colon
    if before in free and before >= plan.time + plan.time_columns and plan.level < before:
        values = table.column(before)
        if _is_tag(table, plan.service) and _is_few(values):
            return before if _share(_WORD.fullmatch, values) >= NEARLY_ALL else -1
    return -1
