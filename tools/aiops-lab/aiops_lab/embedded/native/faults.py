"""ClickHouse's errors: a number and a text. The engine reports both in one line, the protocol wants
them apart.
"""

from __future__ import annotations

import re

_SHAPE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_TAIL = re.compile(r"(?: \([A-Z][A-Z0-9_]*\))?(?: \(version [^)]*\))?\s*$")

NOT_IMPLEMENTED = 48
UNKNOWN_TYPE = 50
UNKNOWN_SETTING = 115
NOT_ENOUGH_SPACE = 243
CANCELLED = 394
UNKNOWN = 1002


class Fault(Exception):
    """An error that the client is told; `code` as in ClickHouse's `system.errors`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def fault(report: str) -> Fault:
    """The fault in the engine's report, e.g. `Code: 60. DB::Exception: Table x does not exist.
    (UNKNOWN_TABLE)`.
    """
    match = _SHAPE.search(report)
    if not match:
        return Fault(UNKNOWN, report)
    return Fault(int(match.group(1)), _TAIL.sub("", match.group(2)).rstrip("."))
