"""The shape of the tree: who may import whom, what is pure, and that one word means one thing."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    path.name: path
    for path in (ROOT / "aiops_core", *ROOT.glob("services/*/*"), *ROOT.glob("tools/*/*"))
    if (path / "__init__.py").exists()
}
# Whoever decides may be run twice and gives the same answer. `aiops_core.runtime` is the loop
# itself.
IMPURE = {
    "aiops_core.adapters",
    "aiops_core.runtime.launch",
    "aiops_core.runtime.runtime",
    "asyncio",
    "clickhouse_driver",
    "httpx",
    "nats",
    "socket",
    "structlog",
    "time",
}
# Our former inventions, as words of an identifier; docs/glossary.md has the field's.
INVENTED = {
    "spot", "spots", "parcel", "parcels", "desk", "shelf", "teller", "keeper", "patient", "pace",
    "sees", "owed", "heir", "unsettled",
}  # fmt: skip


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def modules() -> Iterator[tuple[str, Path]]:
    for name, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            inner = file.relative_to(folder).with_suffix("").parts
            yield ".".join((name, *(part for part in inner if part != "__init__"))), file


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


NAMES = {name for name, _ in modules()}
PURE = [
    name for name, file in modules() if re.search(r"\bPure\b", ast.get_docstring(tree(file)) or "")
]


def test_the_packages_are_all_there():
    assert len(PACKAGES) == 8
    assert len(PURE) > 40


@pytest.mark.parametrize("name", PURE)
def test_what_says_that_it_is_pure_does_no_io_directly_or_through_others(name):
    chains = {it: graph().find_shortest_chain(name, it) for it in IMPURE & graph().modules}
    assert not {it: " -> ".join(chain) for it, chain in chains.items() if chain}


def test_modules_import_each_other_in_no_circle():
    ours = [name for name, _ in modules()]
    circles = []
    for name in ours:
        for other in graph().find_modules_directly_imported_by(name):
            if other in ours and graph().chain_exists(other, name):
                circles.append(f"{name} -> {other} -> ... -> {name}")
    assert not circles


def imported(statement: ast.stmt) -> set[str]:
    """Packages of ours that *statement* imports from."""
    if isinstance(statement, ast.ImportFrom):
        return {(statement.module or "").partition(".")[0]} & PACKAGES.keys()
    assert isinstance(statement, ast.Import)
    return {alias.name.partition(".")[0] for alias in statement.names} & PACKAGES.keys()


@pytest.mark.parametrize(("name", "file"), [*modules()], ids=lambda it: it if it in NAMES else "")
def test_what_is_ours_is_imported_at_the_top(name, file):
    """Neither inside of a function nor for type checking alone: both hide a circle."""
    inner = [
        one
        for one in ast.walk(tree(file))
        if isinstance(one, ast.Import | ast.ImportFrom) and one not in tree(file).body
    ]
    assert not [f"{name}:{one.lineno}" for one in inner if imported(one)]


def project(package: str) -> dict[str, Any]:
    """What the distribution of one of our packages says of itself."""
    folder = PACKAGES[package].parent
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def declared(package: str) -> set[str]:
    """The distributions that come with *package*: those it asks for, and those that ours among them
    ask for."""
    ours = {project(name)["name"]: name for name in PACKAGES}
    asked = {canonicalize_name(Requirement(one).name) for one in project(package)["dependencies"]}
    return asked.union(*(declared(ours[name]) for name in asked & ours.keys()))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_distribution_asks_for_what_it_imports(package):
    """It is installed without the tools: what others here need is not there."""
    homes = metadata.packages_distributions() | {n: [project(n)["name"]] for n in PACKAGES}
    tops = {
        imported.partition(".")[0]
        for name, _ in modules()
        if name.partition(".")[0] == package
        for imported in graph().find_modules_directly_imported_by(name)
    }
    foreign = tops - sys.stdlib_module_names - {package}
    asked = declared(package)
    missing = [
        top
        for top in foreign
        if not asked & {canonicalize_name(home) for home in homes.get(top, ())}
    ]
    assert not sorted(missing)


def test_a_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for name, file in modules():
        for one in ast.walk(tree(file)):
            if isinstance(one, ast.ClassDef):
                places[one.name].append(name)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def words(identifier: str) -> set[str]:
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier).lower().split("_"))


def test_identifiers_use_the_words_of_the_field():
    found = defaultdict(set)
    for name, file in modules():
        for one in ast.walk(tree(file)):
            for field in ("id", "name", "attr", "arg"):
                identifier = getattr(one, field, None)
                if isinstance(identifier, str) and not isinstance(one, ast.alias):
                    used = words(identifier)
                    invented = used & INVENTED
                    if {"letter", "letters"} & used and "dead" not in used:
                        invented |= {"letter"}
                    found[name] |= {identifier} if invented else set()
    assert not {name: identifiers for name, identifiers in found.items() if identifiers}
