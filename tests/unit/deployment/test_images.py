"""What our images hold: the wheels that the Dockerfile's own step makes, looked into."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir())


def step() -> list[str]:
    """The step of the Dockerfile that makes our wheels, without the folders and the target."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.search(r"xargs pip (wheel .*) --wheel-dir /own \.; ", text)
    assert found
    return found[1].split()


def packages(folder: Path) -> set[str]:
    """The importable packages of all wheels in *folder*."""
    names = (name for wheel in folder.glob("*.whl") for name in zipfile.ZipFile(wheel).namelist())
    return {top for top, _, rest in (name.partition("/") for name in names) if rest.endswith(".py")}


def built(folder: Path, *projects: str) -> set[str]:
    command = [sys.executable, "-m", "pip", *step(), "--wheel-dir", folder, *projects]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return packages(folder)


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_of_a_service_holds_the_service_and_the_core(name, tmp_path):
    assert built(tmp_path, ".", f"services/{name}") == {"aiops_core", name.replace("-", "_")}


def test_the_image_of_the_command_holds_no_laboratory(tmp_path):
    held = built(tmp_path, ".", *(f"services/{name}" for name in SERVICES), "tools/aiops-cli")
    assert held == {"aiops_core", "aiops_cli", *(name.replace("-", "_") for name in SERVICES)}
