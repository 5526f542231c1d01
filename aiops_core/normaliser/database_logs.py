"""Logs of databases: PostgreSQL in its languages, MySQL, SQL Server, Oracle, Redis, MongoDB. Pure.

PostgreSQL adds lines to an entry (STATEMENT, DETAIL, HINT, CONTEXT, QUERY): what they quote is
no event, so they are information.
"""

from __future__ import annotations

import csv
import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.app_format import (
    ISO,
    MSG,
    AppFormat,
    labelled,
    row,
)
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine

# Words before what an entry adds, in the languages that PostgreSQL speaks.
_ADDED_WORDS = (
    "statement detail hint context query location backtrace anweisung tip tipp kontext anfrage"
    " ort instruction détail détails astuce contexte requête emplacement sentencia detalle"
    " sugerencia contexto consulta ubicación istruzione dettagli suggerimento contesto comando"
    " detalhe dica оператор команда подробности подсказка контекст запрос положение wyrażenie"
    " szczegóły podpowiedź kontekst zapytanie sats detalj tips ステートメント 文 詳細 ヒント 文脈"
    " コンテキスト 语句 详细信息 提示 上下文 背景 查询"
)
ADDED = frozenset(_ADDED_WORDS.split())
_QUERY_WORDS = (
    "statement query anweisung anfrage instruction requête sentencia consulta istruzione"
    " comando оператор команда запрос wyrażenie zapytanie sats ステートメント 文 语句 查询"
)
_QUERIES = frozenset(_QUERY_WORDS.split())
_LOG = ["log", "journal", "registro", "сообщение", "dziennik", "logg", "ログ", "日志"]
_PG_WORD = r"(?P<level>[^\W\d_]{3,15}[1-5]?)"
_PG_USER = re.compile(
    r"(?:\buser=(?P<u>[^,\s]+)|(?<![\w@])(?P<v>[\w.-]+)@(?P<d>[\w.-]+)(?![\w@]))", re.ASCII
)
_PG_DATABASE = re.compile(r"\bdb=([^,\s]+)")
# What log_statement and slow queries quote.
_PG_ASKED = re.compile(r"\b(?:statement|execute \S+|parse \S+|bind \S+): (.*)", re.DOTALL)
_PG_PID = re.compile(r"\[(\d+)(?:-\d+)?\]")


def _pg_level(word: str) -> Level | None:
    folded = word.casefold()
    if folded in ADDED or folded in _LOG:
        return Level.INFO
    return stated_levels.of_column(word, True)


def _pg(line: ParsedLine) -> ParsedLine:
    """Process, user and database of the prefix; the words of what an entry adds stay."""
    prefix, word = line.labels.get("prefix", ""), line.labels.get("word", "")
    kept = {key: text for key, text in line.labels.items() if key not in ("prefix", "word")}
    user, pid = _PG_USER.search(prefix), _PG_PID.search(prefix)
    database = _PG_DATABASE.search(prefix)
    line = labelled(
        line._replace(labels=kept),
        pid=pid and pid[1],
        user=user and (user["u"] or user["v"]),
        database=database[1] if database else user and user["d"],
    )
    if asked := _PG_ASKED.search(line.msg, 0, 400):
        line = labelled(line, query=asked[1])
    if word.casefold() in ADDED:
        query = line.msg if word.casefold() in _QUERIES else None
        line = labelled(line._replace(msg=f"{word}: {line.msg}"), query=query)
    return line


class PostgresFormat(AppFormat):
    """A line of PostgreSQL; a word that is no level of it is not of the format."""

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        parsed = super().read(line, now)
        return parsed if parsed is not None and parsed.level is not None else None


def _postgres(name: str, pattern: str, starts: str) -> PostgresFormat:
    compiled = re.compile(rf"(?:{pattern})$", re.VERBOSE | re.DOTALL)
    return PostgresFormat(name, compiled, "postgres", starts, ":  ", level_of=_pg_level, finish=_pg)


class PostgresCsv:
    """``csvlog``: 23 columns or more; the level is the twelfth."""

    name, syslog, starts, iso = "postgres csv", False, DIGITS, True
    _HEAD = re.compile(rf"{ISO}(?:\ [A-Z]{{3,5}})?,(?:\"|,|[\w-]+,)", re.VERBOSE)

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        if line.count(",") < 20 or self._HEAD.match(line) is None:
            return None
        columns = next(csv.reader([line], strict=False), [])
        level = _pg_level(columns[11]) if len(columns) >= 22 else None
        if level is None:
            return None
        return labelled(
            ParsedLine(columns[13], level, stated_times.value(columns[0], now), service="postgres"),
            user=columns[1],
            database=columns[2],
            pid=columns[3],
            client=columns[4].rpartition(":")[0],
            code=columns[12],
            query=columns[19],
        )


def _sql_server(line: ParsedLine) -> ParsedLine:
    """The level of ``Error: 823, Severity: 24, State: 2.``; above 19 the server is in danger."""
    found = re.match(r"(?:Error|Fehler|Erreur): (\d+), [^:]{4,12}: (\d+)", line.msg)
    if found is None:
        return line
    severity = int(found[2])
    level = Level.CRITICAL if severity >= 20 else Level.ERROR if severity >= 16 else Level.WARNING
    return labelled(line._replace(level=level if severity > 10 else Level.INFO), event_id=found[1])


_REDIS = {"#": Level.WARNING, "*": Level.INFO, "-": Level.DEBUG, ".": Level.DEBUG}


def _redis(word: str) -> Level | None:
    return _REDIS.get(word)


_ORA = re.compile(r"\b(ORA-\d{4,5}|TNS-\d{5}|RMAN-\d{5})\b")
# Internal errors, a lost control file or instance: the database stops.
_ORA_CRITICAL = re.compile(r"ORA-0?(?:0600|7445|1092|0257|0?353|0?0?204|1578)\b")


def _oracle(line: ParsedLine) -> ParsedLine:
    critical = _ORA_CRITICAL.match(line.msg)
    level = Level.CRITICAL if critical else Level.ERROR
    code = _ORA.match(line.msg)
    return labelled(line._replace(level=level), event_id=code and code[1])


_MONGO = {"F": Level.CRITICAL, "E": Level.ERROR, "W": Level.WARNING, "I": Level.INFO}


def mongo_level(initial: str) -> Level:
    """The level of MongoDB's initial; D1 to D5 are of debugging."""
    return _MONGO.get(initial[:1], Level.DEBUG)


_MYSQL = rf"""\[(?P<level>Note|Warning|ERROR|System)\]\ (?:\[(?P<event_id>MY-\d+)\]\ )?
    (?:\[(?P<provider>[A-Za-z]\w+)\]\ )?{MSG}"""

FORMATS = (
    PostgresCsv(),
    _postgres(
        "postgres",
        rf"""<?\ ?(?P<time>\d{{4}}-\d\d-\d\d\ \d\d:\d\d:\d\d(?:\.\d{{1,6}})?
        (?:\ ?(?:[A-Z]{{3,5}}|[+-]\d\d(?::?\d\d)?))?)(?P<prefix>\W(?:.{{0,200}}?[^\w.])?)
        (?P<word>{_PG_WORD}):\ \ {MSG}""",
        DIGITS + "<",
    ),
    _postgres(
        "postgres without a time",
        rf"""(?P<prefix>(?:(?=[^\s"']{{0,60}}[\d@=\])])[^\s"']{{1,160}}\ ){{0,4}})
        (?P<word>{_PG_WORD}):\ \ {MSG}""",
        "",
    ),
    row(
        "mysql",
        rf"""(?P<time>{ISO})\ +(?:(?P<thread>\d+|0x[0-9a-f]+)\ |(?=\[\w+\]\ \[MY-)){_MYSQL}""",
        service="mysql",
        starts=DIGITS,
        has="[",
    ),
    row(
        "mysql 5.5",
        rf"""(?P<time>\d{{6}}\ [\ \d]\d:\d\d:\d\d)\ +{_MYSQL}""",
        service="mysql",
        iso=False,
        starts=DIGITS,
        has="[",
    ),
    row(
        "mysql queries",
        rf"""(?:(?P<time>{ISO})\s+)?(?P<thread>\d+)\ (?P<msg>(?P<command>Connect|Query|Quit
        |Prepare|Execute|Init\ DB|Close\ stmt|Field\ List|Statistics|Ping
        |Change\ user)\b(?:\t(?P<query>.*))?)""",
        service="mysql",
        starts=DIGITS,
        level=Level.INFO,
    ),
    row(
        "mysql slow queries",
        r"""\#\ (?:Time:\ (?P<time>\S+)|User@Host:\ (?P<user>\w*).*|Query_time:.*
        |Thread_id:.*|Schema:.*)""",
        service="mysql",
        starts="#",
        level=Level.INFO,
    ),
    row(
        "mysql without a level",
        r"(?P<time>\d{6}\ [\ \d]\d:\d\d:\d\d)\ +(?P<msg>(?:mysqld|InnoDB|/\S*mysqld).*)",
        service="mysql",
        iso=False,
        starts=DIGITS,
        has="mysqld",
    ),
    row(
        "sql server",
        rf"""(?P<time>\d{{4}}-\d\d-\d\d\ [\d:]{{8}}\.\d\d\d?)\ (?P<session>spid\d+s?|Server|Logon
        |Backup|Anmeldung)\ +{MSG}""",
        service="sqlserver",
        starts=DIGITS,
        finish=_sql_server,
    ),
    row(
        "redis",
        rf"""(?:\[(?=\d+\]\ ))?(?P<pid>\d+)(?::[MSCX]|\])
        \ (?P<time>\d\d\ [A-Z][a-z]{{2}}(?:\ \d{{4}})?\ [\d:.]{{8,12}})
        \ (?P<level>[\#*.-])\ {MSG}""",
        service="redis",
        iso=False,
        starts=DIGITS + "[",
        level_of=_redis,
    ),
    row(
        "oracle",
        r"(?P<msg>(?:ORA-\d{4,5}|TNS-\d{5}|RMAN-\d{5}):?\s.*)",
        service="oracle",
        starts="OTR",
        has="-",
        finish=_oracle,
    ),
    row(
        "mongodb 2 to 4.2",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,12}}(?:Z|[+-]\d{{4}}))\ (?P<level>[FEWID]\d?)
        \ +(?P<provider>[A-Z][A-Z_]+|-)\ +\[(?P<thread>[^\]]+)\]\ {MSG}""",
        service="mongodb",
        starts=DIGITS,
        level_of=mongo_level,
    ),
)
