"""How the processes of a fleet share few cores: whoever works finishes first (decision 16)."""

from __future__ import annotations

import contextlib
import os
import sys


def take_turns() -> None:
    """Let this process, its later threads and children not interrupt others when they wake up.

    The policy for batch work of Linux (``SCHED_BATCH``) asks for no privilege. Where there is none, or it is
    forbidden, nothing changes.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
