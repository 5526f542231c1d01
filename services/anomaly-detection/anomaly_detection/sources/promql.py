"""The mistakes in PromQL that are found without a server. Pure."""

from __future__ import annotations

from collections.abc import Iterator

_PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"


def mistake(query: str) -> str | None:
    """The first mistake in brackets and quotes of *query*; only a server finds the others."""
    open_: list[tuple[str, int]] = []
    try:
        for place, char in _code(query):
            if char in _PAIRS.values():
                open_.append((char, place))
            elif char in _PAIRS and (not open_ or open_.pop()[0] != _PAIRS[char]):
                return f"'{char}' at character {place + 1} closes nothing"
    except ValueError as exc:
        return str(exc)
    if open_:
        return f"'{open_[-1][0]}' at character {open_[-1][1] + 1} is never closed"
    return None if any(not char.isspace() for _, char in _code(query)) else "it is empty"


def _code(query: str) -> Iterator[tuple[int, str]]:
    """Place and character outside of strings and comments; a string counts as its first quote."""
    place = 0
    while place < len(query):
        char = query[place]
        if char == "#":
            place = (query.find("\n", place) + 1) or len(query)
            continue
        yield place, char
        place = _end_of_string(query, place) if char in _QUOTES else place + 1


def _end_of_string(query: str, start: int) -> int:
    quote, place = query[start], start + 1
    while place < len(query):
        if query[place] == "\\" and quote != "`":
            place += 2
        elif query[place] == quote:
            return place + 1
        else:
            place += 1
    raise ValueError(f"the string at character {start + 1} has no end")
