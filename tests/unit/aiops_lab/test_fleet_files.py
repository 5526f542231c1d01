"""Lock, logs and ready file of a fleet."""

import json
import os
from pathlib import Path

import pytest

from aiops_core.errors import Misconfigured
from aiops_lab.fleet.files import Log, only_one, write_atomically


def test_a_second_fleet_on_the_same_data_is_told_who_is_first(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(Misconfigured) as caught, only_one(tmp_path):
        pass
    assert f"{tmp_path} is in use by another `aiops up` (pid {os.getpid()})" in str(caught.value)


def test_the_data_is_free_again_when_the_first_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path / "new"):
            pass


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be used for data"), only_one(tmp_path / "file"):
        pass


def test_the_last_line_is_of_this_life_only(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "a.log")
    with log.open() as first:
        first.write(b"nats: old trouble\n")
    with log.open() as second:
        assert log.last_line() == "no output"
        second.write(b"one\nValueError: two\n\n")
        second.flush()
        assert log.last_line() == "ValueError: two"


def test_a_structured_line_is_told_as_words(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log")
    with log.open() as handle:
        handle.write(b'{"event": "waiting", "reason": "clickhouse away", "level": "warning"}\n')
    assert log.last_line() == "waiting: clickhouse away"


@pytest.mark.parametrize("line", ["[1, 2]", '{"no": "event"}', "{broken"])
def test_any_other_line_stays_as_it_is(tmp_path: Path, line: str) -> None:
    log = Log(tmp_path / "a.log")
    with log.open() as handle:
        handle.write(f"{line}\n".encode())
    assert log.last_line() == line


def test_a_chatty_process_cannot_fill_the_disk(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log", limit=1000)
    with log.open() as handle:
        for number in range(200):
            handle.write(b"x" * 49 + b"\n")
            handle.flush()
            if number % 10 == 0:
                log.bound()
        handle.write(b"newest\n")
        handle.flush()
        assert log.last_line() == "newest"
    kept = [log.path, Path(f"{log.path}.1")]
    assert sum(path.stat().st_size for path in kept) < 3000


def test_the_ready_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "ready.json"
    write_atomically(target, {"pids": {"nats": 1}})
    assert json.loads(target.read_text()) == {"pids": {"nats": 1}}
    assert [path.name for path in target.parent.iterdir()] == ["ready.json"]
