"""What a line states, and what stands in for the rest, as the fields of a ``LogEntry``. Pure.

``aiops replay`` and anomaly-detection both use it, so that one line is one entry whichever way it
came.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiops_core.models import LONGEST_NAME, Level
from aiops_core.normaliser.parsed import ParsedLine

SENDER = "sender"  # the label with the address from which a line came
FROM_NETWORK = "syslog"  # service and source of a line that names none and came over the network


def fields_of(
    line: ParsedLine, arrived: datetime, *, host: str, service: str, source: str
) -> dict[str, Any]:
    """The fields of *line*, which *arrived* then; *host*, *service*, *source* are its defaults."""
    host = _name(line.host) or host
    return {
        "ts": line.ts or arrived,
        "host": host,
        "device_id": _name(line.device_id) or host,
        "service": _name(line.service) or service,
        "level": line.level or Level.INFO,
        "msg": line.msg,
        "source": line.source or source,
        "labels": dict(line.labels),
    }


def _name(text: str | None) -> str:
    return text[:LONGEST_NAME] if text else ""
