"""ClickHouse's errors: a number and a text. The engine reports both in one line."""

from __future__ import annotations

import re

_REPORT = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_TAIL = re.compile(r"(?: \([A-Z][A-Z0-9_]*\))?(?: \(version [^)]*\))?\s*$")

NO_SUCH_COLUMN = 16
NOT_IMPLEMENTED = 48
UNKNOWN_TYPE = 50
UNKNOWN_SETTING = 115
UNKNOWN = 1002


class EngineError(Exception):
    """Sent to the client; ``code`` as in ClickHouse's ``system.errors``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def parsed(cls, report: str) -> EngineError:
        """From ``Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)``."""
        match = _REPORT.search(report)
        if not match:
            return cls(UNKNOWN, report)
        return cls(int(match.group(1)), _TAIL.sub("", match.group(2)).rstrip("."))


class ProtocolError(Exception):
    """The client sent bytes that the server cannot follow; the connection has to end."""


class DataInUse(Exception):
    """The data folder belongs to another running engine, or cannot be written."""


class PortTaken(Exception):
    """Nobody can listen there."""
