"""The level that a field of a line states, in the words and numbers of many loggers. Pure.

``levels`` knows the words of syslog and of messages; these are the others' spellings, languages and
scales. A scale is of one kind of field: 40 is a warning of pino and an error of Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from aiops_core.models import Level
from aiops_core.normaliser import levels

LevelReader = Callable[[object], Level | None]

WORDS = {
    Level.DEBUG: (
        "debug debug1 debug2 debug3 debug4 debug5 debu debg deb dbug trace trce trc verbose verb"
        " verbos vrb fine finer finest silly low-level detail detailed diagnostic lv d v t"
    ),
    Level.INFO: (
        "info information informational inf infos informative notice notic ntc note normal config"
        " configuration conf ok log success successful audit auditsuccess audit_success"
        " success_audit succès default http message msg display status stat sys"
        # PostgreSQL's in other languages: log, notice
        " hinweis notiz meldung journal notificación notifica nota nachricht замечание сообщение"
        " инфо информация инф uwaga dziennik notis logg ログ 情報 日志 信息 提示 注意 로그"
        " i n"
    ),
    Level.WARNING: (
        "warning warn wrn war warnin warnung avertissement attention attenzione advertencia aviso"
        " предупреждение внимание ostrzeżenie varning advarsel waarschuwing 警告 경고"
        " auditfailure audit_failure failure_audit fail_audit minor deprecated w"
    ),
    Level.ERROR: (
        "error err eror erro errror erorr erro errore erreur fehler fel fejl fout hata chyba błąd"
        " ошибка помилка σφάλμα エラー 错误 錯誤 오류 severe sever fail failed failure major"
        " exception erri e"
    ),
    Level.CRITICAL: (
        "critical crit crt critica critico kritisch fatal fatl ftl fat fatale fatalt alert alrt alr"
        " emergency emerg emer emrg panic panik panique pánico pânico panico panika паника авария"
        " важно фатальная катастрофа паніка katastrofalny ölümcül パニック 致命的エラー 致命错误"
        " 严重 critique wtf assert disaster blocker dpanic pnc c f"
    ),
}
BY_WORD = {word: level for level, words in WORDS.items() for word in words.split()}
BY_WORD |= {"audit failure": Level.WARNING, "failure audit": Level.WARNING}
BY_WORD |= {"audit success": Level.INFO, "success audit": Level.INFO}
SHORTEST = 3  # letters of a word that is a level in a text; a field may hold one initial

# Spellings that a text may have in small letters or as Capitalised word between its separators.
_STRIPPED = "[](){}<>:|-,.*!'\" \t"


@lru_cache(4096)
def _word(text: str) -> Level | None:
    plain = text.strip(_STRIPPED).casefold()
    found = BY_WORD.get(plain) or levels.from_word(plain)
    if found is None and "." in plain:  # daemon.err of logread, LogLevel.Error, log.level.WARN
        found = BY_WORD.get(plain.rpartition(".")[2])
    return found


def word(text: str) -> Level | None:
    """The level that *text* names: any case, brackets and a facility before it are allowed."""
    return _word(text) if len(text) <= 40 else None


def _of_words(text: str) -> Level | None:
    """The first of two or three words that is a level: ``Critical Error``."""
    words = text.split()
    return next((found for one in words if (found := word(one))), None) if len(words) < 4 else None


def of_text(value: object) -> Level | None:
    """The level of a field of text; a number in it is of syslog or pino."""
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal() and len(text) < 6:
            return number(int(text))
        return word(text) or (_of_words(text) if " " in text else None)
    return number(value)


def _numeric(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 9:
        return int(value)
    return None


def _steps(*steps: tuple[float, Level]) -> LevelReader:
    """A scale that rises: the level of the last step that a number has reached."""

    def read(value: object) -> Level | None:
        found = _numeric(value)
        if found is None:
            return of_text(value) if isinstance(value, str) else None
        return next((level for least, level in reversed(steps) if found >= least), None)

    return read


def number(value: object) -> Level | None:
    """A number of an unnamed scale: syslog 0-7, pino 10-60, Monolog and Google 100-800."""
    found = _numeric(value)
    if found is None:
        return None
    if 100 <= found <= 800:
        return hundreds(found)
    return thousands(found) if 1000 <= found <= 60000 else levels.from_number(found)


hundreds = _steps(  # Monolog: 250 notice, 550 alert; Google: 300 notice; 300 is taken as warning
    *((0, Level.DEBUG), (200, Level.INFO), (300, Level.WARNING)),
    *((400, Level.ERROR), (500, Level.CRITICAL)),
)
google = _steps(
    *((0, Level.DEBUG), (200, Level.INFO), (400, Level.WARNING)),
    *((500, Level.ERROR), (600, Level.CRITICAL)),
)
thousands = _steps(  # logback and log4j
    *((0, Level.DEBUG), (20000, Level.INFO), (30000, Level.WARNING)),
    *((40000, Level.ERROR), (50000, Level.CRITICAL)),
)
python = _steps(
    *((0, Level.DEBUG), (20, Level.INFO), (30, Level.WARNING)),
    *((40, Level.ERROR), (50, Level.CRITICAL)),
)
opentelemetry = _steps(
    *((1, Level.DEBUG), (9, Level.INFO), (13, Level.WARNING)),
    *((17, Level.ERROR), (21, Level.CRITICAL)),
)
slog = _steps(  # Go's: -4, 0, 4, 8
    *((-99, Level.DEBUG), (0, Level.INFO), (4, Level.WARNING)),
    *((8, Level.ERROR), (12, Level.CRITICAL)),
)
nxlog = _steps(
    *((1, Level.DEBUG), (2, Level.INFO), (3, Level.WARNING)),
    *((4, Level.ERROR), (5, Level.CRITICAL)),
)
dotnet = _steps(
    *((0, Level.DEBUG), (2, Level.INFO), (3, Level.WARNING)),
    *((4, Level.ERROR), (5, Level.CRITICAL), (6, Level.INFO)),
)
http_status = _steps((100, Level.INFO), (500, Level.WARNING))  # of an answer to a request

_WINDOWS = (  # 0: always logged
    *(Level.INFO, Level.CRITICAL, Level.ERROR, Level.WARNING, Level.INFO, Level.DEBUG),
)


def windows(value: object) -> Level | None:
    """The level of a Windows event: 1 critical to 5 verbose; or its word."""
    found = _numeric(value)
    if found is None:
        return word(value) if isinstance(value, str) else None
    return _WINDOWS[int(found)] if 0 <= found < len(_WINDOWS) else None


def syslog(value: object) -> Level | None:
    """A severity of syslog as a number or as text; with a facility (0-191), or a word."""
    found = _numeric(value)
    if found is None:
        return word(value) if isinstance(value, str) else None
    return levels.from_pri(int(found)) if 0 <= found <= levels.HIGHEST_PRI else None


# Words that a field may use, but that between the columns of a text are just words.
_FIELD_WORDS = (
    "none default http message msg display status ok stat sys minor major fail failed failure"
    " exception detail detailed success successful verb low-level diagnostic deprecated assert"
    " config configuration normal conf nota note notes panic alert attention disaster blocker"
    " unknown nota journal sever exception log http wtf informative infos"
)
_ONLY_OF_FIELDS = frozenset(_FIELD_WORDS.split())
_CAPITAL_WORDS = "log panic alert attention note config nota assert fail"
_ONLY_IN_CAPITALS = frozenset(_CAPITAL_WORDS.split())


@lru_cache(4096)
def of_column(text: str, marked: bool) -> Level | None:
    """The level that a column of a text states: in capitals, or *marked* by brackets or a colon."""
    plain = text.strip(_STRIPPED)
    if len(plain) < SHORTEST and not (plain in _CJK):
        return None
    folded = plain.casefold()
    capitals = plain.isupper() or (plain == folded and not plain.isascii())
    if not (marked or capitals):
        return None
    if folded in _ONLY_OF_FIELDS and not (folded in _ONLY_IN_CAPITALS and capitals):
        return BY_WORD.get(folded) if marked and folded in ("note", "panic", "alert") else None
    return BY_WORD.get(folded)


_CJK = frozenset(name for name in BY_WORD if not name.isascii() and len(name) < SHORTEST)
