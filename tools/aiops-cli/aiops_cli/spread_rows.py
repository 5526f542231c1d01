"""Incidents of one spread as one row of a list. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiops_core.models import Severity
from aiops_core.spreads import title_over

TITLES_READ = 20  # the newest: what they share is the title
ALIVE = ("open", "ack")

Row = Mapping[str, Any]
Rows = Sequence[Row]


def folded(items: Iterable[Row]) -> list[Row]:
    """*items* as the API lists them; those of one spread are one, where the first of them stood.

    Its id is that of the spread, its ``status`` counts them, its severity is the worst of what is
    open. One that is alone here stays as it is.
    """
    rows: dict[str, list[Row]] = {}
    for one in items:
        spread = one.get("spread") if one.get("spread_devices") else None
        rows.setdefault(spread or one["id"], []).append(one)
    return [_as_one(id_, parts) if len(parts) > 1 else parts[0] for id_, parts in rows.items()]


def is_folded(row: Row) -> bool:
    return bool(row["id"] == row.get("spread"))


def _as_one(spread: str, parts: Sequence[Row]) -> Row:
    alive = [one for one in parts if one["status"] in ALIVE]
    quiet = [one["quiet_since"] for one in alive if one.get("quiet_since")]
    wide = parts[0]["spread_devices"]
    names = {device for one in parts for device in one.get("affected_devices", ())}
    return {
        **parts[0],
        "id": spread,
        "title": title_over([one["title"] for one in parts[:TITLES_READ]], names, wide),
        "severity": max(Severity(one["severity"]) for one in alive or parts).value,
        "status": _counted(one["status"] for one in parts),
        "root_cause": {"device": f"{wide} devices"},
        "anomaly_count": sum(one.get("anomaly_count", 0) for one in parts),
        "last_seen": max(one["last_seen"] for one in parts),
        "quiet_since": max(quiet) if quiet and len(quiet) == len(alive) else None,
        "occurrence": 1,
        "cadence": "",
    }


def _counted(statuses: Iterable[str]) -> str:
    """``3 open, 48 resolved``: how many of the devices in the title are in this list, and how."""
    return ", ".join(f"{n} {status}" for status, n in Counter(statuses).most_common())
