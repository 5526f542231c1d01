"""Devices in CSV or YAML files; every mistake is reported with its line.

CSV has a header; several upstream ids are separated by ``;``, ``|`` or spaces, several labels
(``key=value``) by ``;`` or ``|``. YAML is a list of devices, or has one as ``devices``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import ValidationError

from aiops_core.errors import AiopsError, Misconfigured, why
from aiops_core.models import Device
from incident_api.devices.import_rules import NewDevice

COLUMNS = tuple(Device.model_fields)
SUFFIXES = (".csv", ".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Mistake:
    """One mistake in a file. *line* counts from 1."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class BadFile(AiopsError):
    """A file that cannot be imported, with all its mistakes."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


@dataclass
class DeviceFile:
    """The devices of one file, and the line of each of their fields."""

    name: str
    devices: list[NewDevice] = field(default_factory=list)
    lines: list[Mapping[str, int]] = field(default_factory=list)  # "" is the device itself

    def mistake(self, index: int, key: str, text: str) -> Mistake:
        lines = self.lines[index]
        return Mistake(self.name, lines.get(key, lines[""]), text)


def read_devices(path: Path) -> DeviceFile:
    """Raises Misconfigured when *path* cannot be read, BadFile with all mistakes in it."""
    if path.suffix.lower() not in SUFFIXES:
        raise Misconfigured(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        text = path.read_text("utf-8-sig")  # spreadsheets put a mark before the first letter
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured(f"{path}: cannot be read: {why(exc)}") from exc
    rows = _csv_rows if path.suffix.lower() == ".csv" else _yaml_rows
    found, mistakes = DeviceFile(str(path)), list[Mistake]()
    for row in rows(text):
        if isinstance(row, _Row):
            mistakes += _take(found, row)
        else:
            mistakes.append(Mistake(str(path), *row))
    if mistakes:
        raise BadFile(sorted(mistakes, key=lambda mistake: mistake.line))
    return found


def write_devices(file: TextIO, devices: Iterable[Device]) -> None:
    """Write CSV that ``read_devices`` reads."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for device in devices:
        cells = device.model_dump(mode="json")
        cells["upstream"] = ";".join(device.upstream)
        cells["labels"] = ";".join(f"{key}={value}" for key, value in device.labels.items())
        writer.writerow(cells[column] for column in COLUMNS)


@dataclass(frozen=True)
class _Row:
    """The fields of one device, and the line of each."""

    values: Mapping[str, Any]
    lines: Mapping[str, int]


_Problem = tuple[int, str]  # line, text


def _take(found: DeviceFile, row: _Row) -> Iterator[Mistake]:
    """Add the device of *row*, or yield its mistakes."""
    try:
        device = NewDevice.model_validate(row.values)
    except ValidationError as exc:
        for error in exc.errors():
            key = str(error["loc"][0]) if error["loc"] else ""
            said = ".".join(map(str, error["loc"])) or "device"
            given = "" if error["type"] == "missing" else f" (it is {_short(error['input'])})"
            line = row.lines.get(key, row.lines[""])
            yield Mistake(found.name, line, f"{said}: {error['msg']}{given}")
    else:
        found.devices.append(device)
        found.lines.append(row.lines)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _csv_rows(text: str) -> Iterator[_Row | _Problem]:
    head = text.partition("\n")[0]
    # Spreadsheets write semicolons in languages with a decimal comma.
    delimiter = ";" if ";" in head and "," not in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [name.strip() for name in next(reader, [])]
    if problems := list(_wrong_columns(columns)):
        yield from ((1, problem) for problem in problems)
        return
    before = reader.line_num
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if any(map(str.strip, cells)):
                yield _csv_row(columns, cells, line)
    except csv.Error as exc:
        yield before + 1, f"not CSV: {exc}"


def _wrong_columns(columns: Sequence[str]) -> Iterator[str]:
    if "id" not in columns:
        yield f"the header has no column id; columns are {', '.join(COLUMNS)}"
    for name in columns:
        if name not in COLUMNS:
            yield f"unknown column {name!r}; columns are {', '.join(COLUMNS)}"
        elif columns.count(name) > 1:
            yield f"column {name!r} is there twice"


def _csv_row(columns: Sequence[str], cells: Sequence[str], line: int) -> _Row | _Problem:
    if len(cells) != len(columns):
        return line, f"{len(cells)} cells, but the header has {len(columns)} columns"
    values: dict[str, Any] = {
        c: v.strip() for c, v in zip(columns, cells, strict=True) if v.strip()
    }
    values.setdefault("id", "")
    if "upstream" in values:
        values["upstream"] = tuple(filter(None, re.split(r"[;|\s]+", values["upstream"])))
    if "labels" in values:
        pairs = [part.strip() for part in re.split(r"[;|]", values["labels"]) if part.strip()]
        wrong = next((pair for pair in pairs if "=" not in pair), None)
        if wrong:
            return line, f"labels: {wrong!r} is not key=value"
        values["labels"] = {k.strip(): v.strip() for k, _, v in (p.partition("=") for p in pairs)}
    return _Row(values, {"": line})


def _yaml_rows(text: str) -> Iterator[_Row | _Problem]:
    try:
        node, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        yield (mark.line + 1 if mark else 1), str(getattr(exc, "problem", None) or exc)
        return
    if isinstance(node, yaml.MappingNode) and list(data) == ["devices"]:
        node, data = node.value[0][1], data["devices"]
    if not isinstance(node, yaml.SequenceNode):
        yield 1, "expected a list of devices, or one as `devices`"
        return
    for child, values in zip(node.value, data, strict=True):
        yield _yaml_row(child, values)


def _yaml_row(node: yaml.Node, values: Any) -> _Row | _Problem:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return line, f"expected a device with an id, not {_short(values)}"
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    said = {str(key): value for key, value in values.items() if value is not None}
    if isinstance(labels := said.get("labels"), dict):
        said["labels"] = {str(key): _label(value) for key, value in labels.items()}
    if isinstance(upstream := said.get("upstream"), str):
        said["upstream"] = tuple(upstream.split())
    return _Row(said, {"": line} | lines)


def _label(value: object) -> object:
    """A number as text, a list of addresses as one text."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
