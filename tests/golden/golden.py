"""Golden files: what outlives a release, as that release wrote it, for all later ones to read.

``tests/golden/<version>/`` has a file for each kind of message, bucket value, snapshot manifest and
stored body. A line is an example: first with the required fields alone, then with all fields, until
each value of each enum has occurred. The examples are made from the JSON schema of the class, so no
field is forgotten, and are always the same::

    python -m tests.golden.golden write     # the files of this version
    python -m tests.golden.golden freeze    # the same, and their checksums: from now on they stand

A frozen version never changes. When a test says that this tree writes something else than what its
version froze, raise ``aiops_core.models.VERSION`` and freeze that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aiops_core.inventory import inventory
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    MESSAGES,
    VERSION,
    AnomalyCleared,
    AnomalyDetected,
    Device,
    EnrichedAnomaly,
    Evidence,
    Record,
    RootCause,
)
from aiops_core.observability import tally
from aiops_core.runtime import crashes
from aiops_core.runtime.bus import Outgoing
from aiops_core.suppression import ship, silences
from aiops_core.suppression.ship import LinkOutage, MaintenanceWindow, ModeLog
from aiops_core.suppression.silences import Silence
from anomaly_detection import snapshots
from anomaly_detection.offsets import Offset
from anomaly_detection.snapshots import EmittedMessage, Manifest
from correlation_service.kept import AS_OF, AsOf, KeptIncident
from correlation_service.kept import BUCKET as OPEN_INCIDENTS
from incident_api.folding import StoredIncident
from incident_api.rows import incident_row, stored_incident
from llm_enricher.model.acceptance import Examination
from llm_enricher.model.model import BUCKET as MODELS

GOLDEN = Path(__file__).parent
SUMS = "SHA256SUMS"
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
MEANT = {"Silence.matchers": ["device_id=sw-1"]}  # fields that not any text may be in
ANYTHING = {"a": [1, 2.5, None, True, "ü"]}

Schema = Mapping[str, Any]


class Examples:
    """JSON for the schema of one class. Of an enum example *n* has the *n*th value."""

    def __init__(self, kind: type[BaseModel]) -> None:
        self._schema = kind.model_json_schema()
        self._named: Mapping[str, Schema] = self._schema.get("$defs", {})

    @property
    def enough(self) -> int:
        """So many that each value of each enum occurs."""
        sizes = (len(one["enum"]) for one in _parts(self._schema) if "enum" in one)
        return max(sizes, default=1)

    def least(self) -> dict[str, Any]:
        return _Example(self._named, 0, full=False).of(self._schema)

    def full(self, n: int) -> dict[str, Any]:
        return _Example(self._named, n, full=True).of(self._schema)


@dataclass
class _Example:
    named: Mapping[str, Schema]
    n: int
    full: bool
    ticks: Iterator[int] = field(default_factory=count)  # no two values are the same

    def of(self, schema: Schema) -> dict[str, Any]:
        names = schema["properties"] if self.full else schema.get("required", ())
        return {
            name: MEANT.get(f"{schema['title']}.{name}")
            or self._value(schema["properties"][name], name)
            for name in names
        }

    def _value(self, schema: Schema, name: str) -> Any:
        if "$ref" in schema:
            schema = self.named.get(schema["$ref"].split("/")[-1], {})
        if "anyOf" in schema:
            schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
            return self._value(schema, name)
        if values := schema.get("enum") or [schema[key] for key in ("const",) if key in schema]:
            return values[self.n % len(values)]
        return self._of_type(schema, name)

    def _of_type(self, schema: Schema, name: str) -> Any:
        match schema.get("type"), schema:
            case "array", _:
                return [self._value(schema["items"], name)]
            case "object", {"properties": _}:
                return self.of(schema)
            case "object", {"additionalProperties": inside}:
                return {"one": self._value(inside, name)}
        return self._scalar(schema, name)

    def _scalar(self, schema: Schema, name: str) -> Any:
        tick = next(self.ticks)
        if schema.get("format") == "date-time":
            return (START + timedelta(seconds=tick, microseconds=1)).isoformat()
        values = {
            "string": f'{name} {tick} "ü"',
            "integer": int(schema.get("minimum", 0)) + 1 + tick,
            "number": 0.25,
            "boolean": True,
        }
        return values.get(schema.get("type", ""), ANYTHING)


def _parts(schema: Any) -> Iterator[Schema]:
    if isinstance(schema, dict):
        yield schema
    for one in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(one, dict | list):
            yield from _parts(one)


def examples(kind: type[Record]) -> list[Any]:
    made = Examples(kind)
    given = [made.least(), *(made.full(n) for n in range(made.enough))]
    return [kind.model_validate(one, extra="forbid") for one in given]


@dataclass(frozen=True)
class Kept:
    """Something that is stored: *lines* are examples as this release writes them, *again* reads one
    of any release and writes it."""

    lines: Callable[[], list[bytes]]
    again: Callable[[bytes], bytes]


def _kept(kind: type[Record]) -> Kept:
    return Kept(
        lambda: [one.model_dump_json().encode() for one in examples(kind)],
        lambda line: kind.model_validate_json(line).model_dump_json().encode(),
    )


def _manifests() -> list[bytes]:
    emitted = tuple(
        EmittedMessage.of(Outgoing(one, f"id-{n}"))
        for n, one in enumerate(examples(AnomalyCleared))
    )
    parts = {"metric": 2, "pattern": 0}
    manifests = (
        Manifest(generation=1, offset=Offset(7, START), parts=parts, emitted=emitted),
        Manifest(generation=2, offset=Offset(7, START), parts={}),
    )
    return [one.model_dump_json().encode() for one in manifests]


def _manifest_again(line: bytes) -> bytes:
    manifest = Manifest.model_validate_json(line)
    assert all(one.read() for one in manifest.emitted)
    return manifest.model_dump_json().encode()


def _incidents() -> list[bytes]:
    rows = map(incident_row, examples(StoredIncident))
    return [json.dumps({"body": row.body, "fold": row.fold}).encode() for row in rows]


def _incident_again(line: bytes) -> bytes:
    row = incident_row(stored_incident(**json.loads(line)))
    return json.dumps({"body": row.body, "fold": row.fold}).encode()


def _tallies() -> list[bytes]:
    return list(tally.encode({START: 3, START + tally.MINUTE: 4}, [tally.key_of(START)]).values())


def _tally_again(line: bytes) -> bytes:
    key = tally.key_of(START)
    return tally.encode(tally.decode({key: line}), [key])[key]


def _notes() -> list[bytes]:
    return [crashes.VALUE.dump_json({"LOGS/7": 1, "INCIDENTS/8": crashes.DEADLY})]


KEPT: Mapping[str, Kept] = {
    **{f"messages/{kind.subject}": _kept(kind) for kind in MESSAGES},
    f"buckets/{silences.BUCKET}": _kept(Silence),
    f"buckets/{ship.BUCKET}.{ship.MODE_KEY}": _kept(ModeLog),
    f"buckets/{ship.BUCKET}.maintenance": _kept(MaintenanceWindow),
    f"buckets/{ship.BUCKET}.outage": _kept(LinkOutage),
    f"buckets/{inventory.BUCKET}": Kept(
        lambda: [Inventory([one]).to_json() for one in examples(Device)],
        lambda line: Inventory.from_json(line).to_json(),
    ),
    f"buckets/{OPEN_INCIDENTS}.incident": _kept(KeptIncident),
    f"buckets/{OPEN_INCIDENTS}.{AS_OF}": _kept(AsOf),
    f"buckets/{MODELS}": _kept(Examination),
    f"buckets/{tally.BUCKET}": Kept(_tallies, _tally_again),
    f"buckets/{crashes.BUCKET}": Kept(
        _notes, lambda line: crashes.VALUE.dump_json(crashes.VALUE.validate_json(line))
    ),
    f"buckets/{snapshots.BUCKET}.manifest": Kept(_manifests, _manifest_again),
    "tables/anomalies.1": _kept(AnomalyDetected),
    "tables/anomalies.2": _kept(EnrichedAnomaly),
    "tables/incident_members": _kept(Evidence),
    "tables/incidents": Kept(_incidents, _incident_again),
    "tables/incidents.root_cause": _kept(RootCause),
}


def write(folder: Path) -> None:
    """The files of this release."""
    for name, kept in KEPT.items():
        file = folder / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(line + b"\n" for line in kept.lines()))


def sums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != SUMS)
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def freeze(folder: Path) -> None:
    text = "".join(f"{digest}  {name}\n" for name, digest in sums(folder).items())
    (folder / SUMS).write_text(text)


def faults(root: Path, version: str = VERSION) -> list[str]:
    """What is wrong with the golden files in *root*, for a release that writes *version*."""
    folders = sorted(one for one in root.iterdir() if one.is_dir() and one.name[0].isdigit())
    found = [fault for folder in folders for fault in (*_thawed(folder), *_unread(folder))]
    if (root / version).is_dir():
        found += _written_otherwise(root / version)
    return found


def _thawed(folder: Path) -> Iterator[str]:
    if not (folder / SUMS).exists():
        yield f"{folder.name} is not frozen"
        return
    lines = (folder / SUMS).read_text().splitlines()
    frozen = {name: digest for digest, name in (line.split("  ") for line in lines)}
    now = sums(folder)
    yield from (
        f"{folder.name}/{name} is not as it was frozen"
        for name in sorted(frozen.keys() | now.keys())
        if frozen.get(name) != now.get(name)
    )


def _unread(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.jsonl")):
        name = file.relative_to(folder).as_posix().removesuffix(".jsonl")
        if name not in KEPT:
            yield f"{folder.name}/{name} is read by nobody any more"
            continue
        for number, line in enumerate(file.read_bytes().splitlines(), start=1):
            for fault in _lost(KEPT[name], line):
                yield f"{folder.name}/{name} line {number}: {fault}"


def _lost(kept: Kept, line: bytes) -> Iterator[str]:
    """What of *line* this release does not know any more."""
    try:
        again = kept.again(line)
    except ValueError as exc:
        yield f"cannot be read: {exc}"
        return
    yield from _differences(json.loads(line), json.loads(again), "")


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    """Fields more are none, and neither is the version, which becomes ours."""
    if isinstance(before, str) and isinstance(after, str) and before.startswith("{"):
        before, after = json.loads(before), json.loads(after)
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() - {"schema_version"}:
            yield from _differences(before[name], after.get(name), f"{at}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _differences(one, other, at)
    elif before != after:
        yield f"{at.strip('.')} is lost"


def _written_otherwise(folder: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary))
        before, now = sums(folder), sums(Path(temporary))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{folder.name}/{name}: this tree writes something else, raise its version"


def main() -> None:
    folder = GOLDEN / VERSION
    if (folder / SUMS).exists():
        sys.exit(f"{folder} is frozen")
    shutil.rmtree(folder, ignore_errors=True)
    write(folder)
    if "freeze" in sys.argv:
        freeze(folder)


if __name__ == "__main__":
    main()
