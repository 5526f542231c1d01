"""``aiops replay``: what an operator types → what they see and the exit code."""

import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aiops_cli import replay
from aiops_cli.ingest.sink import IngestSink
from aiops_core.models import LogEntry
from aiops_core.runtime.service import utc_now
from aiops_lab.memory_bus import MemoryBus


class Store:
    """ClickHouse, which knows what it was given."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    async def query(self, sql, parameters=None):
        return [(id_,) for id_ in parameters["ids"] if id_ in self.ids]

    async def insert(self, table, columns, rows, *, token=None) -> None:
        self.ids |= {row[0] for row in rows}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    bus, store = MemoryBus(), Store()

    @contextlib.asynccontextmanager
    async def sink(settings):
        async with IngestSink.open(bus, store, linger=0) as own:
            yield own

    monkeypatch.setattr(replay, "open_sink", sink)
    return bus


def run(*words: object):
    return CliRunner().invoke(replay.app, [str(word) for word in words])


def log(tmp_path: Path, data: bytes = b"Jun  1 11:00:00 h sshd[1]: Failed password\nx\n") -> Path:
    path = tmp_path / "a.log"
    path.write_bytes(data)
    return path


def test_a_table_and_zero(tmp_path: Path, bus: MemoryBus):
    result = run(log(tmp_path), "--ship-id", "s7", "--host", "here")
    assert result.exit_code == 0, result.output
    assert "sent" in result.stdout
    assert [(m.ship_id, m.host) for m in bus.published] == [("s7", "h"), ("s7", "here")]


def test_json_summary_and_refused_lines(tmp_path: Path, bus: MemoryBus):
    path = log(tmp_path, b"good\n\n" + b"x" * 70_000 + b"\n")
    result = run(path, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["sent"], summary["refused"], summary["skipped"]) == (
        3,
        1,
        1,
        1,
    )
    assert summary["refusals"] == [{"file": str(path), "line": 3, "reason": "longer than 64 KiB"}]
    assert f"{path}:3: longer than 64 KiB" in result.stderr


@pytest.mark.parametrize("data", [b"", b"\n\n", b"x" * 70_000])
def test_nothing_to_send(tmp_path: Path, bus: MemoryBus, data: bytes):
    assert run(log(tmp_path, data)).exit_code == 2


@pytest.mark.parametrize("name", ["none.log", "."])
def test_no_file(tmp_path: Path, bus: MemoryBus, name: str):
    result = run(log(tmp_path), tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"replay: {tmp_path / name}: ")
    assert len(result.stderr.splitlines()) == 1
    assert bus.published == []


def test_dry_run_needs_no_server(tmp_path: Path):
    result = run(log(tmp_path), "--dry-run", "--limit", 1)
    assert result.exit_code == 0
    assert "warning  h sshd: Failed password" in result.stdout


def test_dry_run_as_json_can_be_replayed(tmp_path: Path, bus: MemoryBus):
    shown = run(log(tmp_path), "--dry-run", "--json").stdout
    first = [LogEntry.model_validate_json(line) for line in shown.splitlines()]
    run(log(tmp_path, shown.encode()))
    assert [m.tracking_id for m in bus.published] == [e.tracking_id for e in first]


def test_as_of_now_the_same_file_is_other_lines_and_once_more_the_same(
    tmp_path: Path, bus: MemoryBus
):
    path = log(tmp_path, b"2005-06-01T04:00:00Z h a: x\n2005-06-03T04:00:00Z h a: y\n")
    sent = [json.loads(run(path, "--json", *more).stdout) for more in ([], *[["--as-now"]] * 2)]
    assert [(one["sent"], one["repeated"]) for one in sent] == [(2, 0), (2, 0), (0, 2)]
    *_, first, newest = [entry.ts for entry in bus.published]
    assert timedelta(0) <= utc_now() - newest < timedelta(minutes=1)
    assert newest - first == timedelta(days=2)


@pytest.mark.parametrize("words", [("-", "--as-now"), ("a.log", "--follow", "--as-now")])
def test_what_has_no_newest_line_is_refused_in_one_line(tmp_path: Path, bus: MemoryBus, words):
    file, *options = words
    result = run(file if file == "-" else log(tmp_path), *options)
    assert result.exit_code == 2
    assert "--as-now: " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert bus.published == []


def test_forced_format(tmp_path: Path, bus: MemoryBus):
    result = run(log(tmp_path), "--format", "syslog", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["refusals"][0]["reason"] == "not syslog"


def test_a_mistake_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIOPS_PROBE_PORT", "many")
    result = run(log(tmp_path), "--dry-run")
    assert result.exit_code == 2
    assert "AIOPS_PROBE_PORT" in result.stderr


def test_a_dry_run_says_what_each_file_was_taken_for(tmp_path: Path):
    lines = [f"{n};{'IW'[n % 2]};30.11.2026 11:00:{n:02};gw-1;Poller;unit {n}" for n in range(60)]
    (tmp_path / "odd.log").write_text("\n".join(lines))
    result = run(tmp_path / "odd.log", "--dry-run")
    assert "odd.log: 6 columns learned from 60 lines: " in result.stderr
    assert "time 3, level 2, host 4, component 5, " in result.stderr
    assert "(60 lines)" in result.stderr
    mixed = tmp_path / "mixed.log"
    mixed.write_text('Jun  1 11:00:00 h a: x\nJun  1 11:00:00 h a: y\n{"msg": "z"}\n')
    assert "mixed.log: syslog (2 of 3 lines), json (1 of 3 lines)" in run(mixed, "--dry-run").stderr
    assert "mixed.log" not in run(mixed).stderr
