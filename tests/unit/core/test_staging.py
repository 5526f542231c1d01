"""The broker's batches are gathered in memory, and nothing of them stays behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiops_core.local.staging import room, stage, unstage

STREAM = "nats/jetstream/$G/streams/LOGS"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / STREAM).mkdir(parents=True)
    return tmp_path / "data"


def test_batches_of_each_stream_lie_in_memory_for_us_alone(data, memory):
    for _ in range(2):
        stage(data, memory)
        batches = data / STREAM / "batches"
        (batches / "b1").mkdir()
        assert (room(data, memory) / "LOGS" / "b1").is_dir()
        (batches / "b1").rmdir()
    assert room(data, memory).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_the_broker_has_made_is_replaced_once_it_is_empty(data, memory):
    batches = data / STREAM / "batches"
    (batches / "b1").mkdir(parents=True)
    stage(data, memory)
    assert not batches.is_symlink() and (batches / "b1").is_dir()
    (batches / "b1").rmdir()
    stage(data, memory)
    assert batches.is_symlink()


def test_data_that_moved_leads_to_a_room_of_its_own(data, memory):
    stage(data, memory)
    moved = data.rename(data.with_name("elsewhere"))
    stage(moved, memory)
    assert (moved / STREAM / "batches").readlink() == room(moved, memory) / "LOGS"


def test_when_the_broker_has_ended_nothing_is_left_in_memory(data, memory):
    stage(data, memory)
    unstage(data, memory)
    assert list(memory.iterdir()) == []
    unstage(data, memory)  # a second time is no mistake
    stage(data, memory)
    assert (data / STREAM / "batches").is_dir()


def test_a_room_of_somebody_else_is_not_used(data, memory, monkeypatch):
    room(data, memory).mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    stage(data, memory)
    assert not (data / STREAM / "batches").exists()


def test_without_such_memory_nothing_changes(data, tmp_path):
    stage(data, tmp_path / "nowhere")
    assert list((data / STREAM).iterdir()) == []
