"""The inserts whose rows the client sends: ``INSERT INTO t (a, b) [SETTINGS …] VALUES``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_INSERT = re.compile(
    r"(?P<head>\s*INSERT\s+INTO\s+(?P<table>[\w.`]+)\s*(?:\((?P<columns>[^()]*)\))?)"
    r"\s*(?P<settings>SETTINGS\s.*?)?\s*VALUES[\s;]*",
    re.IGNORECASE | re.DOTALL,
)
_READ_ONLY = re.compile(r"\s*(?:SELECT|WITH|INSERT)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InsertTarget:
    """`head` is the statement up to its columns; no columns are all columns of the table."""

    head: str
    table: str
    columns: tuple[str, ...]
    settings: str


def insert_target(sql: str) -> InsertTarget | None:
    """The target of an insert that waits for rows; None for any other statement."""
    match = _INSERT.fullmatch(sql)
    if not match:
        return None
    names = (name.strip().strip("`") for name in (match["columns"] or "").split(","))
    columns = tuple(name for name in names if name)
    return InsertTarget(match["head"].strip(), match["table"], columns, match["settings"] or "")


def may_change_tables(sql: str) -> bool:
    """Whether descriptions of tables are out of date after this statement."""
    return not _READ_ONLY.match(sql)
