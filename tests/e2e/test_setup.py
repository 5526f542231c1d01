"""Set-up by the oldest pip gets what the lock pins, though the index has newer releases of
everything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.package_index import NEWER, RecordingIndex

pytestmark = pytest.mark.slow

# Debian 12's own, and what the README says. A venv is made with whatever pip its Python brings.
OLDEST_PIP = "23.0.1"
OLDEST_PIP_HASH = "sha256:236bcb61156d76c4b8a05821b988c7b8c35bf0da28a4b614e8d6ab5212c25c6f"
LOCK = ROOT / "requirements.lock"
# It needs coverage[toml], which old pips take for another requirement than the coverage that is
# pinned.
PYTEST_COV = "pytest-cov==7.1.0"
PYTEST_COV_HASH = "sha256:a0461110b7865f9a271aa1b51e516c9a95de9d696734a2f71e3e78f46e1d4678"


@pytest.fixture
def index() -> Iterator[RecordingIndex]:
    with RecordingIndex().serving() as index:
        yield index


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the oldest pip, from wherever this machine's pip gets things."""
    folder = tmp_path_factory.mktemp("old-pip")
    wanted = folder / "wanted.txt"
    wanted.write_text(f"pip=={OLDEST_PIP} --hash={OLDEST_PIP_HASH}\n")
    get = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder, "-r", wanted]
    subprocess.run([sys.executable, "-m", "pip", *get], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def old_python(old_pip: Path, tmp_path: Path) -> Path:
    """A Python whose `-m venv` makes environments with the oldest pip in them."""
    path = tmp_path / "python"
    path.write_text(
        f"""#!/bin/sh
        {sys.executable} "$@" || exit
        test "$2" = venv || exit 0
        for folder; do :; done
        "$folder/bin/pip" install -qq --no-index --no-deps {old_pip}
        """
    )
    path.chmod(0o755)
    return path


def run(command: Sequence[object], index: RecordingIndex) -> subprocess.CompletedProcess[str]:
    """Run *command* where pip knows *index* and nothing else: no other index, no folder, no
    cache."""
    ours = ("PIP_", "COVERAGE_", "MAKE", "MFLAGS", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.url, "PIP_NO_CACHE_DIR": "1"}
    return subprocess.run(
        [*map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def cut(*needs: str) -> str:
    command = [sys.executable, "scripts/subset_lock.py", LOCK, *needs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_set_up_by_the_oldest_pip_asks_for_what_the_lock_pins_and_for_nothing_else(
    index, old_python, tmp_path
):
    venv = tmp_path / "venv"
    done = run(["make", venv / ".installed", f"VENV={venv}", f"PYTHON={old_python}"], index)
    assert done.returncode == 0, done.stderr
    assert "No broken requirements found" in done.stdout
    pinned = set(re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE))
    assert {"pip", "coverage", "pydantic"} <= index.projects <= pinned
    assert len(index.files) == len(index.projects)
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", LOCK.read_text()))
    assert set(index.files.values()) <= hashes, index.files
    version = run([venv / "bin/pip", "--version"], index).stdout
    assert f"pip=={version.split()[1]} " in cut("pip")


def test_with_resolving_the_oldest_pip_asks_the_same_index_for_what_is_newer(
    index, old_python, tmp_path
):
    """The test above can fail: this is how the lock was installed once, and how it rotted."""
    venv, lock = tmp_path / "venv", tmp_path / "lock"
    lock.write_text(f"{cut('coverage', 'pytest')}{PYTEST_COV} --hash={PYTEST_COV_HASH}\n")
    run([old_python, "-m", "venv", venv], index)
    assert OLDEST_PIP in run([venv / "bin/pip", "--version"], index).stdout
    done = run([venv / "bin/pip", "install", "--require-hashes", "-r", lock], index)
    assert done.returncode != 0
    assert f"coverage-{NEWER}-py3-none-any.whl" in done.stderr  # with hashes it is refused
    whole = run([venv / "bin/pip", "install", "--no-deps", "--require-hashes", "-r", lock], index)
    assert whole.returncode == 0, whole.stderr


def test_the_readme_says_which_pip_is_the_oldest():
    assert f"pip {OLDEST_PIP}" in (ROOT / "README.md").read_text()
