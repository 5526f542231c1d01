"""Folders in which files come and go are marked for ext4."""

from __future__ import annotations

import array
import fcntl
import os
from pathlib import Path

import pytest

from aiops_lab.fleet.spread import GET_FLAGS, TOP, busy, mark, spread


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("clickhouse/store/0ab/0ab1", "nats/jetstream/$G/streams/LOGS", "logs"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def marked(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(handle, GET_FLAGS, flags)
        return bool(flags[0] & TOP)
    finally:
        os.close(handle)


def test_tables_and_streams_are_busy(data):
    names = {str(folder.relative_to(data)) for folder in busy(data)}
    assert names == {"clickhouse/store/0ab/0ab1", "nats/jetstream/$G/streams/LOGS"}


def test_busy_folders_are_marked_and_stay_so(data):
    try:
        mark(data)
    except OSError:
        pytest.skip("the file system below the temporary folder has no such attribute")
    for _ in range(2):
        spread(data)
        assert all(marked(folder) for folder in busy(data))
    assert not marked(data / "logs")


def test_a_file_system_without_the_attribute_is_left_as_it_is(data, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    spread(data)
    with pytest.raises(OSError, match="Inappropriate"):
        mark(data)


def test_before_the_first_start_there_is_nothing_to_mark(tmp_path):
    spread(tmp_path)
    assert list(tmp_path.iterdir()) == []
