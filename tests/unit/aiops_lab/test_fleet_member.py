"""A process that lives and dies -> what its supervisor does and says. Real, small processes."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiops_core.errors import Misconfigured
from aiops_core.runtime.backoff import JITTER
from aiops_lab.fleet.member import STEADY, Death, Member, State
from aiops_lab.fleet.plan import Spec
from aiops_lab.fleet.ports import free_ports
from aiops_lab.fleet.process import http_get, why_not_ready
from tests.conftest import tcp_server

PATIENT = 10.0  # seconds until a test gives up
NOT_READY = b'HTTP/1.1 503 Not\r\n\r\n{"state": '
READY_THEN_SLEEP = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


def spec_of(tmp_path: Path, code: str) -> Spec:
    ready = tmp_path / "ready"
    argv = [sys.executable, "-c", code, str(ready)]
    return Spec("tiny", argv, dict(os.environ), tmp_path / "tiny.log", 1, ready_file=ready)


@contextlib.asynccontextmanager
async def supervised(spec: Spec) -> AsyncIterator[tuple[Member, list[str]]]:
    said: list[str] = []
    member = Member(spec, said.append, lambda: None)
    running = asyncio.create_task(member.run())
    try:
        yield member, said
    finally:
        await member.stop(grace=2)
        await asyncio.wait_for(running, PATIENT)


async def until_state(member: Member, state: State) -> None:
    async with asyncio.timeout(PATIENT):
        while member.state is not state:
            await asyncio.sleep(0.02)


async def test_killed_then_started_again_and_both_are_said(tmp_path: Path) -> None:
    async with supervised(spec_of(tmp_path, READY_THEN_SLEEP)) as (member, said):
        await until_state(member, State.READY)
        first = member.pid
        member.signal(signal.SIGKILL)
        await until_state(member, State.WAITING)
        await until_state(member, State.READY)
        assert member.pid not in (None, first)
        assert member.restarts == 1
    died = r"tiny died \(killed by SIGKILL\), restarting in 0\.[45] s; last line: no output"
    assert re.fullmatch(died, said[0])
    assert said[1].startswith("tiny is ready again after ")
    assert member.state is State.STOPPED


async def test_the_last_line_says_why_it_died(tmp_path: Path) -> None:
    code = "import sys; sys.exit('disk is full')"
    async with supervised(spec_of(tmp_path, code)) as (member, said):
        await until_state(member, State.WAITING)
    assert said[0].startswith("tiny died (exit code 1), restarting in 0.")
    assert said[0].endswith(" s; last line: disk is full")


async def test_misconfigured_at_its_start_is_not_tried_again(tmp_path: Path) -> None:
    code = "import sys; print('tiny: policies/x.yaml:3: key: wrong', file=sys.stderr); sys.exit(2)"
    member = Member(spec_of(tmp_path, code), lambda line: None, lambda: None)
    with pytest.raises(Misconfigured, match=r"^tiny: policies/x.yaml:3: key: wrong$"):
        await asyncio.wait_for(member.run(), PATIENT)


async def test_a_program_that_is_missing_is_one_line(tmp_path: Path) -> None:
    spec = Spec("tiny", [str(tmp_path / "nothing")], {}, tmp_path / "log", 1)
    with pytest.raises(Misconfigured, match=r"tiny: .*nothing: No such file"):
        await Member(spec, lambda line: None, lambda: None).run()


async def test_deaf_to_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY_THEN_SLEEP}"
    said: list[str] = []
    member = Member(spec_of(tmp_path, code), said.append, lambda: None)
    running = asyncio.create_task(member.run())
    await until_state(member, State.READY)
    await member.stop(grace=0.2)
    await asyncio.wait_for(running, PATIENT)
    assert said == ["tiny did not stop within 0.2 s and is killed"]
    assert member.pid is None


async def test_stopped_while_it_waits_for_a_restart_it_stays_down(tmp_path: Path) -> None:
    async with supervised(spec_of(tmp_path, "raise SystemExit(1)")) as (member, _):
        await until_state(member, State.WAITING)
    assert member.restarts == 0


@contextlib.asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)

    async with tcp_server(serve) as port:
        yield port


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{}", None),
        (
            NOT_READY + b'"recovering", "dependencies": {"clickhouse": "down: refused"}}',
            "recovering, clickhouse down: refused",
        ),
        (
            NOT_READY + b'"serving", "dependencies": {}, "parts": {"a": "recovering"}}',
            "serving, a recovering",
        ),
        (b"HTTP/1.1 503 Not\r\n\r\nwhat", "not ready"),
        (b"nonsense", "does not answer yet"),
    ],
)
async def test_what_a_service_waits_for_is_told_in_words(reply: bytes, why: str | None) -> None:
    async with answering(reply) as port:
        assert await why_not_ready(Spec("s", [], {}, Path("log"), port, path="/ready")) == why


async def test_nobody_listens() -> None:
    spec = Spec("s", [], {}, Path("log"), 1, path="/ready")
    assert await why_not_ready(spec) == "does not answer yet"


async def test_silence_is_a_timeout() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(hold) as port:
        with pytest.raises(TimeoutError):
            await http_get(port, "/ready", within=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = (
        "import asyncio, sys, os\n"
        "from pathlib import Path\n"
        "from aiops_lab.fleet.plan import Spec\n"
        "from aiops_lab.fleet.process import spawn\n"
        "async def main():\n"
        "    spec = Spec('s', ['sleep', '60'], dict(os.environ), Path(sys.argv[1]), 1)\n"
        "    with open(sys.argv[1], 'ab') as log: child = await spawn(spec, log)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENT)
    async with asyncio.timeout(PATIENT):
        while _alive(int(out)):
            await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    """A zombie, which nobody has buried yet, has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


HANGS_WHEN_TOLD = """
import http.server, os, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang": server.stuck = True
        if server.stuck: time.sleep(60)
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
server.stuck = False
server.serve_forever()
"""


async def test_alive_but_without_an_answer_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"LOOK_EVERY": 0.05, "HANGS": 0.4}.items():
        monkeypatch.setattr(f"aiops_lab.fleet.member.{name}", seconds)
    monkeypatch.setattr("aiops_lab.fleet.process.ASK_TIMEOUT", 0.2)
    [port] = free_ports(1)
    argv = [sys.executable, "-c", HANGS_WHEN_TOLD, str(port)]
    spec = Spec("web", argv, dict(os.environ), tmp_path / "web.log", port, path="/ready")
    async with supervised(spec) as (member, said):
        await until_state(member, State.READY)
        first = member.pid
        await asyncio.sleep(0.6)
        assert member.pid == first  # it answers, so it stays
        with pytest.raises(TimeoutError):
            await http_get(port, "/hang", within=0.1)
        await until_state(member, State.WAITING)
        await until_state(member, State.READY)
        assert member.pid not in (None, first)
    assert said[0].startswith("web has not answered for ") and said[0].endswith(" s and is killed")


@pytest.mark.parametrize(
    ("death", "hopeless"),
    [
        (Death(2, 0.3, first_life=True, was_ready=False), True),
        (Death(2, 0.3, first_life=False, was_ready=False), False),
        (Death(2, 9.0, first_life=True, was_ready=True), False),
        (Death(1, 0.3, first_life=True, was_ready=False), False),
        (Death(-9, 0.3, first_life=True, was_ready=False), False),
    ],
)
def test_only_a_misconfigured_first_start_is_hopeless(death: Death, hopeless: bool) -> None:
    assert death.hopeless is hopeless


@pytest.mark.parametrize(("lived", "delays"), [(0.1, [0.5, 1, 2]), (STEADY, [0.5, 0.5, 0.5])])
async def test_deaths_in_a_row_wait_longer_and_a_minute_of_life_counts_as_a_fresh_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lived: float, delays: list[float]
) -> None:
    member, waited = Member(spec_of(tmp_path, ""), lambda line: None, lambda: None), []

    async def live() -> Death:
        return Death(1, lived, first_life=False, was_ready=True)

    async def pause(delay: float) -> None:
        waited.append(delay)
        if len(waited) == len(delays):
            await member.stop(grace=0)

    monkeypatch.setattr(member, "_live", live)
    monkeypatch.setattr(member, "_pause", pause)
    member.spec.log.touch()
    await member.run()
    assert waited == [pytest.approx(delay, rel=JITTER) for delay in delays]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (2, "exit code 2"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
    ],
)
def test_the_exit_is_told_in_words(code: int, words: str) -> None:
    assert Death(code, 1.0, first_life=True, was_ready=True).how == words
