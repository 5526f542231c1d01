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
from pathlib import Path
from typing import BinaryIO

from aiops_core.errors import Misconfigured
from aiops_lab.fleet.plan import Spec
from aiops_lab.fleet.ports import LOOPBACK

ASK_TIMEOUT = 2.0  # seconds
PR_SET_PDEATHSIG = 1
WRITE_ERROR = b"write error"  # in the answer of nats-server's /healthz
TRIAL = 4 * 1024 * 1024  # bytes that must fit on a disk that can be written again


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
            preexec_fn=_ends_with_parent(),
        )
    except OSError as exc:
        raise Misconfigured(f"{spec.name}: {spec.argv[0]}: {exc.strerror}") from exc


def _ends_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel kills the child when our process ends, however that ends."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between fork and prctl
            os._exit(1)

    return in_child


async def why_not_ready(spec: Spec) -> str | None:
    """What *spec*'s process still waits for, in words; None when it is ready."""
    if spec.path is None:
        file = spec.ready_file
        return None if file is not None and file.exists() else "starting"
    if (answer := await asked(spec.port, spec.path)) is None:
        return "does not answer yet"
    status, body = answer
    return None if status == 200 else _in_words(body)


async def answers(spec: Spec) -> bool:
    """Whether *spec*'s process says anything over HTTP; one that does not speak it is not asked."""
    return spec.path is None or await asked(spec.port, spec.path) is not None


async def broker_wants_restart(monitor: int, store: Path) -> bool:
    """Whether the broker with this *monitor* port stopped writing to *store*, which can be written
    again.

    After one error of its disk nats-server stores nothing more in that stream until it is
    restarted. ``nats/start.sh`` does the same in its container.
    """
    status, body = await asked(monitor, "/healthz") or (200, b"")
    return status != 200 and WRITE_ERROR in body and _writable(store)


def _writable(folder: Path) -> bool:
    trial = folder / ".trial"
    try:
        with trial.open("wb") as file:
            file.write(bytes(TRIAL))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    return True


def _in_words(body: bytes) -> str:
    """The body of a ``/ready`` that is not 200: state, parts and dependencies that are down."""
    try:
        report = json.loads(body)
        down = [f"{k} {v}" for k, v in report["dependencies"].items() if v != "up"]
        parts = [f"{k} {v}" for k, v in report.get("parts", {}).items() if v != "serving"]
        return ", ".join([str(report["state"]), *parts, *down])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "not ready"


async def asked(port: int, path: str) -> tuple[int, bytes] | None:
    """Status and body of a GET on loopback; None without an answer."""
    try:
        return await http_get(port, path, ASK_TIMEOUT)
    except (OSError, TimeoutError, ValueError):
        return None


async def http_get(port: int, path: str, within: float) -> tuple[int, bytes]:
    """Status and body of a GET on loopback. Raises OSError, TimeoutError and, if the answer is not
    HTTP, ValueError.
    """
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
