"""Start a process that cannot outlive us, and ask it over HTTP whether it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import BinaryIO

from aiops_core.errors import Misconfigured
from aiops_core.runtime.turns import let_others_first, take_turns
from aiops_lab.fleet.plan import Spec
from aiops_lab.fleet.ports import LOOPBACK

ASK_TIMEOUT = 2.0  # seconds
PR_SET_PDEATHSIG = 1


async def spawn(spec: Spec, log: BinaryIO) -> Process:
    """Start *spec* in a session of its own, so that Ctrl-C reaches only us, who know the order."""
    try:
        return await asyncio.create_subprocess_exec(
            *spec.argv,
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(spec.env),
            start_new_session=True,
            preexec_fn=_in_child(spec),
        )
    except OSError as exc:
        raise Misconfigured(f"{spec.name}: {spec.argv[0]}: {exc.strerror}") from exc


def _in_child(spec: Spec) -> Callable[[], None] | None:
    """Where the kernel offers it (Linux): the child is killed when our process ends, however it ends, and
    takes turns with its siblings, or lets them go first."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between fork and prctl
            os._exit(1)
        take_turns()
        if spec.patient:
            let_others_first()

    return in_child


async def why_not_ready(spec: Spec) -> str | None:
    """What *spec*'s process still waits for, in words; None when it is ready."""
    if spec.path is None:
        file = spec.ready_file
        return None if file is not None and file.exists() else "starting"
    try:
        status, body = await http_get(spec.port, spec.path)
    except (OSError, TimeoutError, ValueError):
        return "does not answer yet"
    return None if status == 200 else _in_words(body)


async def answers(spec: Spec) -> bool:
    """Whether *spec*'s process says anything over HTTP; one that does not speak it is not asked."""
    if spec.path is None:
        return True
    try:
        await http_get(spec.port, spec.path, ASK_TIMEOUT)
    except (OSError, TimeoutError, ValueError):
        return False
    return True


def _in_words(body: bytes) -> str:
    """The body of a ``/ready`` that is not 200: the state, and which parts and dependencies keep it so."""
    try:
        report = json.loads(body)
        down = [f"{k} {v}" for k, v in report["dependencies"].items() if v != "up"]
        parts = [f"{k} {v}" for k, v in report.get("parts", {}).items() if v != "serving"]
        return ", ".join([str(report["state"]), *parts, *down])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "not ready"


async def http_get(port: int, path: str, within: float = ASK_TIMEOUT) -> tuple[int, bytes]:
    """Status and body of a GET on loopback. Raises OSError, TimeoutError, or ValueError if not HTTP."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}:{port}\r\n\r\n"
            writer.write(request.encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    words = head.split(b" ", 2)
    if len(words) < 2:
        raise ValueError("not an HTTP answer")
    return int(words[1]), body
