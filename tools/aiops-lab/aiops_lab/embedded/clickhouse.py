"""The embedded ClickHouse: `python -m aiops_lab.embedded.clickhouse --port 9000 --data DIR`.

clickhouse-driver talks to it as to the real server. SIGTERM and SIGINT stop it within five seconds;
what was acknowledged is on disk, also after a crash of the process. Importing this module does not
load the engine.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

SWITCH = 0.0005
"""Seconds that one client's thread may keep the others waiting. Python's default is 5 ms."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; the exit code is 1 when the port or the folder cannot be used."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    stop = _stop_on_signals()
    sys.setswitchinterval(SWITCH)
    os.environ["TZ"] = "UTC"  # the engine's timezone is that of its process when it is loaded
    from .engine import CannotServe  # loads the engine
    from .server import Server

    try:
        server = Server(options.data, options.port)
    except CannotServe as problem:
        logger.error("embedded clickhouse: %s", problem)
        return 1
    logger.info("embedded clickhouse: 127.0.0.1:%d over %s", server.port, options.data)
    _tell(options.ready_file, server.port)
    server.serve(stop)
    server.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="ClickHouse's native protocol over the embedded engine"
    )
    parser.add_argument("--port", type=int, default=9000, help="on loopback; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument(
        "--ready-file", type=Path, help="gets the port as soon as clients can connect"
    )
    return parser


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def _tell(ready_file: Path | None, port: int) -> None:
    """Write the port in one step, so that nobody reads half of it."""
    if ready_file:
        unfinished = ready_file.with_name(ready_file.name + ".new")
        unfinished.write_text(str(port))
        unfinished.replace(ready_file)


if __name__ == "__main__":
    sys.exit(main())
