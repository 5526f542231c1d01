"""How the processes of a fleet share few cores: whoever works finishes first (decision 16)."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
GIVING_WAY = 5  # niceness: a third of what others get when all want to work, everything when nobody else does


def take_turns() -> None:
    """Let this process, its later threads and children not interrupt others when they wake up.

    The policy for batch work of Linux (``SCHED_BATCH``) asks for no privilege. Where there is none, or it is
    forbidden, nothing changes.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def let_others_first() -> None:
    """Let this process and its children work when nobody else wants to, or a third as much as each of them.

    Where Linux groups processes by session, niceness counts within a session only, so its group is told as well.
    """
    os.nice(max(GIVING_WAY - os.nice(0), 0))
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(GIVING_WAY))
