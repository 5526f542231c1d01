"""The commands of the Makefile, where they need no set-up."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(tree: Path, target: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", target],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_clean_removes_what_can_be_made_again_and_no_data(tree):
    for folder in (".venv", ".aiops", ".pytest_cache", ".hypothesis"):
        (tree / folder).mkdir()
        (tree / folder / "file").touch()
    make(tree, "clean")
    assert sorted(path.name for path in tree.iterdir()) == [".aiops", "Makefile"]


def test_help_lists_every_command_with_what_it_does(tree):
    commands = re.search(r"^\.PHONY: (.*)$", (tree / "Makefile").read_text(), re.MULTILINE)
    assert commands
    lines = dict(line.split(maxsplit=1) for line in make(tree, "help").splitlines())
    assert set(lines) == set(commands[1].split())
