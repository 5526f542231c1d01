"""Which Python a fresh clone is set up with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/choose-python.sh"


@pytest.fixture
def choose(tmp_path):
    def run(*pythons: str | None) -> subprocess.CompletedProcess[str]:
        """With a ``python3`` for each folder of PATH that says so about itself; None is one that
        fails."""
        folders = []
        for number, said in enumerate(pythons):
            folder = tmp_path / str(number)
            folder.mkdir()
            folders.append(str(folder))
            fake = folder / "python3"
            fake.write_text(f"#!/bin/sh\necho '{said}'\n" if said else "#!/bin/sh\nexit 1\n")
            fake.chmod(0o755)
        return subprocess.run(
            ["/bin/bash", SCRIPT],
            env={"PATH": os.pathsep.join(folders)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_first_unless_another_is_clearly_faster(choose):
    assert choose("3.11 1000 /a /a/python3", "3.11 860 /b /b/python3").stdout == "/a/python3\n"


def test_the_fastest_of_those_that_are_clearly_faster(choose):
    others = ("3.11 800 /b /b/python3", "3.11 500 /c /c/python3", "3.11 490 /d /d/python3")
    assert choose("3.11 1000 /a /a/python3", *others).stdout == "/c/python3\n"


def test_only_of_the_version_of_the_first(choose):
    assert choose("3.11 1000 /a /a/python3", "3.13 500 /b /b/python3").stdout == "/a/python3\n"


def test_one_that_fails_is_passed_over(choose):
    assert choose(None, "3.12 1000 /b /b/python3").stdout == "/b/python3\n"


def test_none_at_all_is_said_with_what_to_do(choose):
    done = choose(None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_it_chooses_here_is_a_python_that_will_do():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    chosen = subprocess.run(
        [SCRIPT], env={"PATH": path}, capture_output=True, text=True, check=True
    ).stdout.strip()
    said = subprocess.run(
        [chosen, "-c", "import sys, venv, ensurepip; print(sys.version_info >= (3, 11))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "True\n"
