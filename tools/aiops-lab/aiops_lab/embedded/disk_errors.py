"""A broker whose disk was full, or read-only, for a while.

After one error of its disk nats-server stores nothing more in that stream until it starts anew.
So it is started anew, once something can be written to that disk again. ``nats/start.sh`` does
the same in its container.
"""

from __future__ import annotations

import os
from pathlib import Path

from aiops_lab.fleet.process import http_get

HEALTH = "/healthz"
WRITE_ERROR = b"write error"  # in what it says of its health
ROOM = 4 * 1024 * 1024  # bytes that must fit


async def wants_restart(monitor: int, store: Path) -> bool:
    """Whether the broker with this *monitor* port has given up writing to *store*, which takes
    something again."""
    try:
        status, said = await http_get(monitor, HEALTH)
    except (OSError, TimeoutError, ValueError):
        return False
    return status != 200 and WRITE_ERROR in said and has_room(store)


def has_room(folder: Path) -> bool:
    trial = folder / ".room"
    try:
        with trial.open("wb") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    return True
