"""Typed policies: one frozen model per file of ``policies/``, beside the code that obeys it.

A distribution announces its models in the entry-point group ``aiops.policies``, so that
``aiops policy check`` finds all of them without the core knowing any service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from aiops_core.errors import Misconfigured, why

GROUP = "aiops.policies"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times faster
S = TypeVar("S", bound="Section")
Place = tuple[int | str, ...]  # keys and positions from the root of a file


class Section(BaseModel):
    """A part of a policy file: frozen, unknown keys forbidden, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force, and where in the file it stands; None: nowhere, it is built in."""

    key: str
    value: object
    place: Place | None


@dataclass(frozen=True, slots=True)
class Replay:
    """How far back a service reads a stream when it starts; *why* names the keys behind it."""

    stream: str  # as in retention.yaml
    span: timedelta
    why: str


class Policy(Section):
    """A whole policy file."""

    file: ClassVar[str]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``folder/file``; raises Misconfigured with file, line and key of each mistake."""
        return read_model(folder / cls.file, cls)

    def queries(self) -> Mapping[Place, str]:
        """The PromQL in this file by its place, for who can ask a server about it."""
        return {}

    def replays(self) -> Sequence[Replay]:
        """What the service reads again when it starts; retention must not be shorter."""
        return ()

    def explain(self, about: Mapping[str, str]) -> Sequence[Setting]:
        """All values in force; a policy that has layers says what they are for whom *about* names
        (``ship``, ``service``, ``device_id``, ``metric``)."""
        return list(_flat((), self))

    @classmethod
    def where(cls, folder: Path, place: Place) -> str:
        """``file:line: key`` of what stands at *place*."""
        path = folder / cls.file
        return _where(path, _root(path), place)

    @classmethod
    def sources(cls, folder: Path, places: Iterable[Place]) -> Mapping[Place, str]:
        """``file:line`` of each of *places*."""
        root = _root(folder / cls.file)
        return {place: f"{cls.file}:{_line(root, place)}" for place in places}


def read_model(path: Path, model: type[S]) -> S:
    """The file *path* as *model*; raises Misconfigured with line and key of each mistake."""
    data = _parsed(path, lambda text: yaml.load(text, LOADER)) or {}
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        raise Misconfigured("; ".join(_describe(path, _root(path), exc))) from exc


def models() -> Sequence[type[Policy]]:
    """Every policy model that an installed distribution announces."""
    return [entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)]


def _flat(place: Place, value: object, *, stated: bool = True) -> Iterator[Setting]:
    """The leaves of *value*; what the file does not state is built in."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            key = (*place, field.alias or name)
            known = stated and name in value.model_fields_set
            yield from _flat(key, getattr(value, name), stated=known)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat((*place, str(key)), item, stated=stated)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for n, item in enumerate(value):
            yield from _flat((*place, n), item, stated=stated)
    else:
        yield Setting(".".join(map(str, place)), value, place if stated else None)


def _root(path: Path) -> yaml.Node | None:
    """The file as nodes that know their lines."""
    root: yaml.Node | None = _parsed(path, lambda text: yaml.compose(text, LOADER))
    return root


def _parsed(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise Misconfigured(f"{path}: policy file is missing") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured(f"{path}: cannot be read: {why(exc)}") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", exc)
        raise Misconfigured(f"{path}{line}: wrong YAML: {problem}") from exc


def _describe(path: Path, root: yaml.Node | None, exc: ValidationError) -> Iterator[str]:
    for error in exc.errors():
        place = tuple(part for part in error["loc"] if not str(part).startswith("<"))  # a tag
        yield f"{_where(path, root, place)}: {error['msg'].removeprefix('Value error, ')}"


def _where(path: Path, root: yaml.Node | None, place: Place) -> str:
    return f"{path}:{_line(root, place)}: {'.'.join(str(part) for part in place)}"


def _line(node: yaml.Node | None, loc: Place) -> int:
    """The line (from 1) of the deepest part of *loc* that the file contains."""
    line = node.start_mark.line + 1 if node else 1
    for part in loc:
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return line


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
        return child.start_mark.line + 1, child
    return None
