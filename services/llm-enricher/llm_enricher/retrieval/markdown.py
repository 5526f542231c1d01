"""A runbook in Markdown as passages, one for each heading. Pure.

It may begin with front matter in YAML between two lines ``---``, whose lists ``ships``, ``domains``
and ``categories`` say whom it is for; other keys are the author's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import yaml

from llm_enricher.retrieval.passage import ANY, Passage

PASSAGE_MOST = 1000  # characters: the model of embeddings reads about as many
FRONT_MOST = 4000  # characters
ABOUT_MOST = 200  # characters of what stands below the title
PASSAGES_MOST = 200  # of one runbook
# What PyYAML raises, also for tags whose values it cannot make: ``!!bool maybe``, ``!!int ''``.
NOT_YAML = (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+([^#\s].*)$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_FIELDS = {"ship": "ships", "domain": "domains", "category": "categories"}


class MarkdownSection(NamedTuple):
    """What stands below one heading; *path* are the headings above it, its own last."""

    path: tuple[str, ...]
    text: str


class Runbook(NamedTuple):
    """One file; *name* is its path in the folder without the ending."""

    name: str
    title: str
    passages: tuple[Passage, ...]


def read_runbook(name: str, text: str) -> Runbook:
    """Raises ValueError with what is wrong with *text*."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front = _FRONT.match(text)
    audience = _audience(front[1] if front else "")
    sections = [one for one in _sections(text[front.end() :] if front else text) if one.text]
    if not sections:
        raise ValueError("there is no text below any heading")
    title = next((one.path[0] for one in sections if one.path), name)
    passages = tuple(islice(_passages(name, title, sections, audience), PASSAGES_MOST + 1))
    if len(passages) > PASSAGES_MOST:
        raise ValueError(f"it has more than {PASSAGES_MOST} passages")
    return Runbook(name, title, passages)


def _audience(front: str) -> Mapping[str, tuple[str, ...]]:
    if len(front) > FRONT_MOST:
        raise ValueError(f"front matter has more than {FRONT_MOST} characters")
    try:
        stated = yaml.safe_load(front) or {}
    except NOT_YAML as exc:
        raise ValueError(f"front matter is not YAML: {getattr(exc, 'problem', exc)}") from exc
    keys = stated if isinstance(stated, dict) else None
    if keys is None:
        raise ValueError("front matter has no keys")
    return {field: _names(keys, key) for field, key in _FIELDS.items()}


def _names(stated: Mapping[Any, Any], key: str) -> tuple[str, ...]:
    names = stated.get(key, [ANY])
    if not (isinstance(names, list) and names and all(n and isinstance(n, str) for n in names)):
        raise ValueError(f"front matter: {key}: a list of names is expected")
    return tuple(names)


def _sections(text: str) -> Iterator[MarkdownSection]:
    """In order; what stands before the first heading has none."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    for line, is_code in _lines(text):
        heading = None if is_code else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield _section(path, lines)
        level = len(heading[1])
        title = heading[2].rstrip("# \t")
        path = [*(one for one in path if one[0] < level), (level, title)]
        lines = []
    yield _section(path, lines)


def _section(path: list[tuple[int, str]], lines: list[str]) -> MarkdownSection:
    return MarkdownSection(tuple(title for _, title in path), "\n".join(lines).strip())


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code: there a ``#`` begins a comment."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        yield line, bool(fence)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]


def _passages(
    name: str, title: str, sections: list[MarkdownSection], audience: Mapping[str, tuple[str, ...]]
) -> Iterator[Passage]:
    taken: set[str] = set()
    about = next((one.text[:ABOUT_MOST] for one in sections if one.path == (title,)), "")
    for section in sections:
        below = [part for part in section.path if part != title]
        for text in _pieces(section.text):
            id = _free(f"{name}#{_anchor(below[-1] if below else title)}", taken)
            taken.add(id)
            yield Passage(
                kind="runbook",
                id=id,
                title=" — ".join((title, *below)),
                text=text,
                about=about if below else "",
                **audience,
            )


def _pieces(text: str) -> Iterator[str]:
    """*text* in pieces that the model of embeddings reads whole, cut between paragraphs."""
    piece = ""
    for part in _short_parts(text):
        if piece and len(piece) + len(part) > PASSAGE_MOST:
            yield piece.strip()
            piece = ""
        piece += part
    if piece.strip():
        yield piece.strip()


def _short_parts(text: str) -> Iterator[str]:
    """Paragraphs; of a long one its lines; of a long line pieces of it."""
    for paragraph in re.split(r"(?<=\n)\n+", f"{text}\n"):
        lines = [f"{paragraph}\n"]
        if len(paragraph) > PASSAGE_MOST:
            lines = paragraph.splitlines(keepends=True)
        for line in lines:
            for start in range(0, len(line), PASSAGE_MOST):
                yield line[start : start + PASSAGE_MOST]


def _anchor(heading: str) -> str:
    """As links to it are written."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") or "text"


def _free(id: str, taken: set[str]) -> str:
    number = 2
    free = id
    while free in taken:
        free, number = f"{id}-{number}", number + 1
    return free
