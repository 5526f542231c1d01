"""Which port of this machine is taken, by whom, and which are free."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from aiops_core.errors import Misconfigured

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections, so that between our choice
# and the process's bind no passing connection can take it.
FREE_RANGE = range(20_000, 32_000)
TRIES = 1_000
LISTENING = "0A"  # state of a socket in /proc/net/tcp
COMMAND_SHOWN = 120  # characters


def refuse_taken(ports: Mapping[str, int]) -> None:
    """Raise Misconfigured that names every taken one of *ports* (by purpose) and its holder."""
    taken = [
        f"port {port} ({purpose}) is taken by {holder(port)}"
        for purpose, port in ports.items()
        if not is_free(port)
    ]
    if taken:
        raise Misconfigured("; ".join(taken))


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """*count* different ports that are free now; nothing reserves them."""
    candidates = random.sample(FREE_RANGE, min(TRIES, len(FREE_RANGE)))
    found = [port for _, port in zip(range(count), filter(is_free, candidates), strict=False)]
    if len(found) < count:
        raise Misconfigured(f"no {count} free ports in {FREE_RANGE.start}-{FREE_RANGE.stop - 1}")
    return found


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Who listens on *port*: ``pid 17 (nats-server -c …)``, as far as this user may see."""
    inodes = set(_listening_inodes(port, proc))
    for process in proc.glob("[0-9]*") if inodes else ():
        if inodes & set(_socket_inodes(process)):
            return f"pid {process.name} ({_command(process)})"
    return "another process"


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _socket_inodes(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for fd in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(fd.readlink())):
                    yield found[1]


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown command"
    line = " ".join(word.decode(errors="replace") for word in words if word)
    return line if len(line) <= COMMAND_SHOWN else f"{line[:COMMAND_SHOWN]}…"
