"""What a query text asks for, by its outermost words. Pure; the engine's parser stays the judge of
what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice

_TOKEN = re.compile(
    r"(?P<gap>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<quoted>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_FORMAT = re.compile(r"\bformat\b", re.IGNORECASE)
_DATA_FOLLOWS = {"VALUES", "FORMAT"}
_QUERY_FOLLOWS = {"SELECT", "WITH", "FROM", "WATCH", "EXPLAIN"}


class Kind(Enum):
    """What the server has to do for a statement."""

    ROWS = auto()
    """Stream a result."""
    FACTS = auto()
    """Answer with a small result that cannot be streamed."""
    FEED = auto()
    """Receive blocks from the client and insert them."""
    WRITE = auto()
    """Run an insert that brings its own data."""
    SET = auto()
    """Change the session's settings."""
    USE = auto()
    """Change the session's database."""
    CHANGE = auto()
    """Run something that may change tables."""


_KINDS = {
    **dict.fromkeys(("SELECT", "WITH", "(", "FROM"), Kind.ROWS),
    **dict.fromkeys(("SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"), Kind.FACTS),
    "SET": Kind.SET,
    "USE": Kind.USE,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word (upper case), a quoted text or a sign, with its place and the depth of parentheses
    around it.
    """

    text: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where the blocks of an insert go.

    `head` is the statement without SETTINGS, VALUES and FORMAT; `settings` is that clause.
    """

    head: str
    table: str
    columns: tuple[str, ...]
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A query text and what to do with it; `target` belongs to FEED only."""

    kind: Kind
    sql: str
    target: Target | None = None


def understand(sql: str) -> Statement:
    """What `sql` asks for. Without a semicolon at the end, and for results without FORMAT: clients
    format.
    """
    first = next(tokens(sql), None)
    word = first.text if first else ""
    if word == "INSERT":
        return _insert(sql)
    kind = _KINDS.get(word, Kind.CHANGE)
    bare = without_format(sql) if kind in (Kind.ROWS, Kind.FACTS) else sql
    return Statement(kind, bare)


def tokens(sql: str, start: int = 0) -> Iterator[Token]:
    """The tokens of `sql` from `start`, lazily: a statement may carry megabytes of data."""
    depth = 0
    for match in _TOKEN.finditer(sql, start):
        if match.lastgroup == "gap":
            continue
        text = match.group()
        depth -= text == ")"
        yield Token(
            text.upper() if match.lastgroup == "word" else text, match.start(), match.end(), depth
        )
        depth += text == "("


def without_format(sql: str) -> str:
    """`sql` without a closing semicolon and without its outermost FORMAT clause."""
    bare = sql.rstrip().rstrip(";").rstrip()
    if not _FORMAT.search(bare):
        return bare
    outer = [token for token in tokens(bare) if not token.depth]
    for clause, name, *after in (outer[at : at + 3] for at in range(len(outer) - 1)):
        ends = not after or after[0].text in ("SETTINGS", ";")
        if clause.text == "FORMAT" and ends and _is_word(name):
            return bare[: clause.start] + bare[name.end :]
    return bare


def _is_word(token: Token) -> bool:
    return token.text[:1].isalpha()


def _insert(sql: str) -> Statement:
    """FEED when nothing follows VALUES or FORMAT, or when there is neither; otherwise the data is
    in the text.
    """
    stop = _end_of_head(sql)
    if stop is None or stop.text in _DATA_FOLLOWS:
        return _fed(sql, stop)
    return Statement(Kind.WRITE, sql)


def _fed(sql: str, stop: Token | None) -> Statement:
    if stop and _has_data(sql, stop):
        return Statement(Kind.WRITE, sql)
    head = sql[: stop.start] if stop else sql.rstrip().rstrip(";")
    return Statement(Kind.FEED, sql, target_of(head.strip()))


def _end_of_head(sql: str) -> Token | None:
    """The first outermost word after the target: VALUES, FORMAT or a query. A parenthesised query
    counts.
    """
    before = ""
    for token in tokens(sql):
        if not token.depth and token.text in _DATA_FOLLOWS | _QUERY_FOLLOWS:
            return token
        if token.depth == 1 and before == "(" and token.text in ("SELECT", "WITH"):
            return token
        before = token.text
    return None


def _has_data(sql: str, stop: Token) -> bool:
    skip = 1 if stop.text == "FORMAT" else 0
    rest = next(islice(tokens(sql, stop.end), skip, None), None)
    return rest is not None and rest.text != ";"


def target_of(head: str) -> Target:
    """The table (or table function) and the columns of `INSERT INTO …` without its data."""
    found = [token for token in tokens(head) if not token.depth]
    words = [token.text for token in found]
    skipped = sum(words[:4].count(word) for word in ("INSERT", "INTO", "TABLE", "FUNCTION"))
    opening = [at for at, word in enumerate(words) if word == "(" and at > skipped]
    end = next(
        (at for at, word in enumerate(words) if word == "SETTINGS" and at > skipped), len(words)
    )
    of_columns = opening[1:2] if "FUNCTION" in words[:4] else opening[:1]
    limit = min([*of_columns, end])
    stop = found[limit].start if limit < len(found) else len(head)
    columns = _columns(head, found[of_columns[0]].end) if of_columns and of_columns[0] < end else ()
    cut = found[end].start if end < len(found) else len(head)
    table = head[found[skipped].start : stop].strip()
    return Target(head[:cut].strip(), table, columns, head[cut:])


def _columns(head: str, start: int) -> tuple[str, ...]:
    """The names between the parentheses that open before `start`, as written."""
    names, at = [], start
    for token in tokens(head, start):
        if token.depth < 0 or (token.text == "," and not token.depth):
            names.append(head[at : token.start].strip())
            at = token.end
        if token.depth < 0:
            break
    return tuple(name for name in names if name)


def unquoted(name: str) -> str:
    """A column's name without backticks or double quotes."""
    if name[:1] in ("`", '"') and name[-1:] == name[:1]:
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name
