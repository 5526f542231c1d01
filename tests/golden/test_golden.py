"""What former releases wrote is read by this one, and stands as they wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from aiops_core.models import BY_SUBJECT, VERSION
from tests.conftest import ROOT
from tests.golden import golden
from tests.golden.golden import GOLDEN, KEPT, faults, freeze, sums, write


def test_this_release_reads_all_former_ones_which_stand_as_they_were_frozen():
    assert faults(GOLDEN) == []


# The mechanism itself, on files of this version in a folder of its own.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / VERSION)
    freeze(tmp_path / VERSION)
    return tmp_path


def change(root: Path, name: str, make: Callable[[dict], object]) -> None:
    """Change the examples of one file, as a release could have written them, and freeze that."""
    file = root / VERSION / f"{name}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        make(line)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    freeze(root / VERSION)


def test_what_is_written_is_always_the_same_and_can_be_read(root, tmp_path_factory):
    assert faults(root) == []
    again = tmp_path_factory.mktemp("again")
    write(again)
    assert sums(again) == sums(root / VERSION)


def test_every_message_and_every_bucket_is_among_them():
    kinds = {name.partition("/")[2] for name in KEPT if name.startswith("messages/")}
    assert kinds == set(BY_SUBJECT)
    named = {name.partition("/")[2].split(".")[0] for name in KEPT if name.startswith("buckets/")}
    files = [
        one for root in ("aiops_core", "services", "tools") for one in (ROOT / root).rglob("*.py")
    ]
    buckets = [
        re.findall(r'^BUCKET\b.*?= "([^"]+)"', one.read_text(), re.MULTILINE) for one in files
    ]
    assert named == set(chain.from_iterable(buckets))


def test_the_examples_have_every_field_and_every_value_of_an_enum(root):
    lines = (root / VERSION / "messages/incidents.created.jsonl").read_text().splitlines()
    least, *full = map(json.loads, lines)
    assert least["evidence"] == [] and least["root_cause"] is None
    assert all(one["evidence"][0]["peer"] and one["root_cause"]["device"] for one in full)
    assert {one["severity"] for one in full} == {"low", "medium", "high", "critical"}
    assert {one["domain"] for one in full} == {"comms", "net", "app", "system", "security"}


def test_a_version_that_is_not_frozen_or_changed_later_is_named(root):
    folder = root / VERSION
    (folder / "messages/logs.ingested.jsonl").write_text("")
    (folder / "messages/ops.audit.jsonl").unlink()
    (folder / "more.jsonl").write_text("")
    named = [fault for fault in faults(root, "another") if "as it was frozen" in fault]
    assert named == [
        f"{VERSION}/{name}.jsonl is not as it was frozen"
        for name in ("messages/logs.ingested", "messages/ops.audit", "more")
    ]
    assert f"{VERSION}/more is read by nobody any more" in faults(root, "another")
    (folder / golden.SUMS).unlink()
    assert f"{VERSION} is not frozen" in faults(root)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("messages/anomaly.detected", lambda one: one.update(berth="A7"), "berth is lost"),
        ("messages/anomaly.detected", lambda one: one.update(severity="odd"), "cannot be read"),
        ("messages/anomaly.detected", lambda one: one.pop("host"), "cannot be read"),
        (
            "messages/anomaly.detected",
            lambda one: one.update(schema_version="4.0"),
            "version '4.0'",
        ),
        ("buckets/silences", lambda one: one["matchers"].append("berth=1"), "cannot be read"),
        ("buckets/detectors.manifest", lambda one: one.update(generation="c"), "cannot be read"),
        ("tables/incident_members", lambda one: one.update(berth=[1]), "berth is lost"),
        (
            "tables/incidents",
            lambda one: one.update(fold=one["fold"].replace('"version"', '"number"')),
            "fold.number is lost",
        ),
    ],
)
def test_what_this_release_cannot_read_or_forgets_is_named(root, name, make, words):
    """As if a former release had written it: a field that was renamed, a value that was dropped."""
    change(root, name, make)
    named = faults(root, "another")
    assert named and all(fault.startswith(f"{VERSION}/{name} line ") for fault in named)
    assert all(words in fault for fault in named)


def test_fields_of_a_later_minor_version_are_no_fault_of_a_former_one(root):
    """The other way round: what a former version lacks has a default."""
    change(root, "messages/anomaly.detected", lambda one: one.pop("meta"))
    assert faults(root, "another") == []


def test_a_change_of_what_is_written_asks_for_a_version_of_its_own(root):
    change(root, "messages/anomaly.detected", lambda one: one.pop("meta"))
    [fault] = faults(root)
    assert fault.startswith(
        f"{VERSION}/messages/anomaly.detected.jsonl: this tree writes something"
    )
