"""A copy of this tree as a later release could be: it has one more of everything that may be
added."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from tests.conftest import ROOT

COPIED = ("aiops_core", "services", "policies", "clickhouse", "pyproject.toml")
NOTES = "notes.taken"  # its subject
ZONE = 'zone: str = "bow"'  # its field
MIGRATION = """
ALTER TABLE aiops.incidents ADD COLUMN IF NOT EXISTS zone String DEFAULT 'bow';
ALTER TABLE aiops.devices ADD COLUMN IF NOT EXISTS zone String DEFAULT 'bow';
"""
NOTE = f'''
class Note(Message):
    """What only the later release knows."""

    subject: ClassVar[str] = "{NOTES}"


MESSAGES: tuple'''
FIELDS = {
    "aiops_core/models.py": (
        "Anomaly", "AnomalyCleared", "Device", "Evidence", "RootCause", "Incident",
        "IncidentUpdated", "IncidentCleared", "LlmInsights",
    ),
    "aiops_core/suppression/silences.py": ("Silence",),
    "aiops_core/suppression/ship.py": ("ModeChange", "MaintenanceWindow"),
    "services/anomaly-detection/anomaly_detection/snapshots.py": ("Manifest",),
    "services/incident-api/incident_api/folding.py": ("StoredIncident",),
    "services/incident-api/incident_api/rows.py": ("IncidentRow",),
}  # fmt: skip


def later_release(folder: Path) -> Path:
    """Make it in *folder*: of version 3.4, with a field more in messages, values and bodies, a
    column more, and a subject more in the stream of facts, which enrichment publishes on."""
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / name)
    for name, classes in FIELDS.items():
        for kind in classes:
            _edit(folder / name, lambda text, kind=kind: _with_field(text, kind))
    _replace(folder / "aiops_core/_record.py", r'"3\.3"', '"3.4"')
    _replace(folder / "aiops_core/models.py", r"\nMESSAGES: tuple", NOTE)
    _replace(
        folder / "aiops_core/models.py",
        r"\n    ActionCompleted,\n",
        "\n    ActionCompleted,\n    Note,\n",
    )
    _replace(_of_streams(folder), r'"actions\.>"', '"actions.>", "notes.>"')
    handler = folder / "services/enrichment-service/enrichment_service/handler.py"
    _replace(handler, r"return \[\n", "return [\n            received.message.derive(Note),\n")
    _replace(handler, r"import AnomalyDetected,", "import Note, AnomalyDetected,")
    devices = folder / "services/incident-api/incident_api/devices/store.py"
    _replace(devices, r"owner, labels\"", 'owner, labels, zone"')
    number = len(list((folder / "clickhouse").glob("*.sql"))) + 1
    (folder / f"clickhouse/{number:04}_zone.sql").write_text(MIGRATION)
    return folder


def _of_streams(folder: Path) -> Path:
    files = (folder / "aiops_core/adapters").glob("nats*.py")
    [found] = [file for file in files if '"actions.>"' in file.read_text()]
    return found


def _edit(file: Path, change) -> None:
    before = file.read_text()
    after = change(before)
    assert after != before, file
    file.write_text(after)


def _replace(file: Path, pattern: str, by: str) -> None:
    _edit(file, lambda text: re.sub(pattern, lambda _: by, text))


def _with_field(text: str, kind: str) -> str:
    """*text* with one more field at the end of those of the class *kind*."""
    [found] = [
        node for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and node.name == kind
    ]  # fmt: skip
    last = [node for node in found.body if isinstance(node, ast.AnnAssign)][-1]
    lines = text.splitlines(keepends=True)
    lines.insert(last.end_lineno or 0, f"    {ZONE}\n")
    return "".join(lines)
