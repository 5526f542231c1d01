"""The documents: links resolve, commands can be pasted, and short ones stay short."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "services/*/*.md", "tools/*/*.md")
    for path in ROOT.glob(pattern)
)
LINES = {
    "README.md": 130,
    "docs/architecture.md": 180,
    "docs/development.md": 200,
    "docs/performance.md": 120,
    "docs/glossary.md": 43,
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
# A file by its path, or a part of it: `models.py`, `runtime/bus.py`, `clickhouse/0001_init.sql`.
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|yaml|yml|sql|sh|toml|conf|xml))`")
FOLDERS = ("aiops_core", "services", "tools", "tests", "clickhouse", "docs", "nats", "policies")
FILES = [
    str(path.relative_to(ROOT))
    for folder in (*FOLDERS, "scripts", "vector", "vmalert")
    for path in (ROOT / folder).rglob("*.*")
] + [path.name for path in ROOT.iterdir()]
DECISIONS = sorted((ROOT / "docs/decisions").glob("0*.md"))


def anchors(document: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document: Path) -> Iterator[str]:
    for link in LINK.findall(CODE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document):
    assert not list(broken(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document):
    text = document.read_text()
    if re.search(r"^Status: superseded", text, re.MULTILINE):
        return  # it may name files that are gone
    missing = {name for name in FILE.findall(text) if not _exists(name)}
    assert not missing


def _exists(name: str) -> bool:
    return any(file == name or file.endswith(f"/{name}") for file in FILES)


@pytest.mark.parametrize("document", LINES)
def test_documents_stay_short(document):
    assert len((ROOT / document).read_text().splitlines()) <= LINES[document]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_can_be_pasted(document):
    for block in SHELL.findall(document.read_text()):
        assert "·" not in block
        assert "…" not in block
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_readme_has_commands():
    assert len(SHELL.findall((ROOT / "README.md").read_text())) >= 3


def test_every_decision_has_a_status_and_a_row_in_the_index():
    index = (ROOT / "docs/decisions/README.md").read_text()
    for number, path in enumerate(DECISIONS, start=1):
        title, _, status, *_ = path.read_text().splitlines()
        assert path.name.startswith(f"{number:04}-")
        assert title.startswith(f"# {number}. ")
        assert re.match(r"Status: (accepted|superseded|partly superseded)\b", status)
        assert f"| [{number}]({path.name}) |" in index
