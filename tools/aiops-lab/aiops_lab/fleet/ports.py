"""Which port of this machine is taken, by whom, and which are free."""

from __future__ import annotations

import contextlib
import random
import socket
import textwrap
from collections.abc import Mapping

import psutil

from aiops_core.errors import Misconfigured

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections, so that none of them
# can take a port between our choice and the bind of the process.
FREE_RANGE = range(20_000, 32_000)
TRIES = 1_000
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


def holder(port: int) -> str:
    """The process that listens on *port*: ``pid 17 (nats-server -c …)``, as far as this user may
    see.
    """
    with contextlib.suppress(psutil.Error):
        for found in psutil.net_connections("tcp"):
            address: tuple[str, int] | tuple[()] = found.laddr
            if found.status == psutil.CONN_LISTEN and port in address and found.pid:
                line = " ".join(psutil.Process(found.pid).cmdline())
                return f"pid {found.pid} ({textwrap.shorten(line, COMMAND_SHOWN, placeholder='…')})"
    return "another process"
