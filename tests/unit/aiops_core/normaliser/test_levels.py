"""A message → the level it suggests; conservative, because a false error costs trust."""

import pytest

from aiops_core.models import Level
from aiops_core.normaliser import levels

SAYS = {
    Level.CRITICAL: [
        "fatal: Write failed: Connection reset by peer [preauth]",
        "Kernel panic - not syncing: VFS",
        "Out of memory: Killed process 4711",
        "[CRITICAL] engine bus off",
        "ServerFileSystem: An ServerFileSystem domain panic has occurred on storage1",
        "critical",
        "level=fatal msg=gone",
    ],
    Level.ERROR: [
        "error: Received disconnect from 1.2.3.4: Auth fail [preauth]",
        "error: PAM: Authentication failure for root from 1.2.3.4",
        "host:80 error : Could not connect to proxy",
        "Link error on broadcast tree",
        "request failed.",
        "ALERT exited abnormally with [1]",
        "node-3 not responding",
        'time=1 level=error msg="x"',
        "backup done error=timeout",
        "write: No space left on device",
        "ServerFileSystem domain root9_local is full",
        "error: no route to host",
        "error: null pointer",
        "sync: error: 0x1f",
        "psu failure\\ ambient=29",
    ],
    Level.WARNING: [
        "authentication failure; logname= uid=0",
        "Failed password for root from 1.2.3.4 port 22 ssh2",
        "Failed password for invalid user fatal from 1.2.3.4 port 22 ssh2",
        "reverse mapping failed - POSSIBLE BREAK-IN ATTEMPT!",
        "check pass; user unknown",
        "connection refused",
        "Connection timed out",
        "eth0: link is down",
        "Temperature (45C) exceeds warning threshold",
        "Couldn't authenticate user",
        "warn: queue is long",
    ],
    Level.DEBUG: ["debug: entering loop", "level=debug x"],
    Level.INFO: [
        "ansible: ok=5 changed=0 unreachable=0 failed=0",
        "0 errors, 0 failed",
        "no errors found",
        "errors: 0",
        "error=none",
        "error: 0",
        "errors: 0 warnings: 0",
        "sync done, error: none",
        "finished without error",
        "GET /error/failed.html 200",
        "opened /var/log/error.log",
        "Kernel command line: ro panic=10 root=/dev/sda1",
        "starting service error-reporter",
        "failover_timeout set to 30",
        "session timeout=30",
        "Received disconnect from 1.2.3.4: 11: Bye Bye [preauth]",
        "Enabling unmasked SIMD FPU exception support... done.",
        "shutdown succeeded",
        "scanning for cans",
        "",
    ],
}


@pytest.mark.parametrize(("level", "msg"), [(lv, m) for lv, msgs in SAYS.items() for m in msgs])
def test_words_of_a_message(level: Level, msg: str):
    assert levels.from_message(msg) is level


@pytest.mark.parametrize(
    ("pri", "level"), [(0, "critical"), (34, "critical"), (11, "error"), (28, "warning")]
)
def test_priority(pri: int, level: str):
    assert levels.from_pri(pri) == level
    assert levels.from_pri(pri // 8 * 8 + 5) is Level.INFO
    assert levels.from_pri(pri // 8 * 8 + 7) is Level.DEBUG


@pytest.mark.parametrize(
    ("word", "level"),
    [("WARN", "warning"), ("Err", "error"), ("NOTICE", "info"), ("fatal", "critical")],
)
def test_level_words(word: str, level: str):
    assert levels.from_word(word) == level


def test_unknown_words_and_numbers_are_no_level():
    assert levels.from_word("purple") is None
    assert levels.from_number(99) is None
    assert levels.from_number(50) is Level.ERROR
    assert levels.from_number(4) is Level.WARNING


def test_a_long_message_is_judged_by_its_beginning():
    assert levels.from_message("x" * levels.MESSAGE_SEARCHED + " fatal error") is Level.INFO
