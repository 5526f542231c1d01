"""What is open outlives the retention of its table: its row is stored again before that is over.

Rows live by ``stored_at``. An incident that nobody touches for a year, because its disk was never
replaced, would vanish although it is open. A condition in the TTL would not do: the row that says
``resolved`` could go before the older one that says ``open``, and the incident would come back.

A row that is stored again has the version that it had, so that any later change goes before it.
So are the newest occurrences of what is open, and the edits by which persons merged and split
problems, as long as they matter to a row.
"""

from __future__ import annotations

from aiops_core.adapters.clickhouse import DEPENDENCY, ClickHouse
from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.models import Status
from incident_api.migrate import STORED
from incident_api.outage import DependencyOutages, keep_doing

LOOK_EVERY = 3600.0  # seconds
SHARE = 10  # rows are stored again after this part of their days; a ship may be off for the rest
_OPEN = ", ".join(f"'{status}'" for status in (Status.OPEN, Status.ACK))
_IDS = f"SELECT id FROM aiops.incidents FINAL WHERE status IN ({_OPEN})"  # noqa: S608
NEWEST_KEPT = 100  # occurrences of one incident: a fault every quarter of an hour has 35,000 a year
_ROWS = {
    "aiops.problem_occurrences": (
        f"SELECT * FROM aiops.problem_occurrences FINAL WHERE incident_id IN ({_IDS})"  # noqa: S608
        f" ORDER BY ended IS NULL DESC, began DESC LIMIT {NEWEST_KEPT} BY incident_id"
    ),
    # What persons said of problems that a row still names, or that were merged into another one.
    "aiops.problem_edits": (
        "SELECT * FROM aiops.problem_edits FINAL"
        " WHERE problem_id IN (SELECT problem_id FROM aiops.incidents) OR problem_id IN"
        " (SELECT JSONExtractString(body, 'into') FROM aiops.problem_edits)"
    ),
    "aiops.incidents": f"SELECT * FROM aiops.incidents FINAL WHERE status IN ({_OPEN})",  # noqa: S608
}


def statements(days: int) -> list[str]:
    """Store again what is open and has been in its table for a part of its *days*."""
    old = f"{STORED} < now() - INTERVAL {days * 24 // SHARE} HOUR"
    return [
        f"INSERT INTO {table} SELECT * REPLACE (now64(6, 'UTC') AS {STORED})"  # noqa: S608
        f" FROM (SELECT * FROM ({rows}) WHERE {old})"
        for table, rows in _ROWS.items()
    ]


async def store_again(clickhouse: ClickHouse, days: int) -> None:
    """Once; nothing is written when nothing is old."""
    try:
        for statement in statements(days):
            await clickhouse.execute(statement)
    except QueryFailed as exc:
        raise Unavailable(str(exc)) from exc


async def keep_open_ones(clickhouse: ClickHouse, days: int) -> None:
    """The background loop that does so. While it fails, nothing that a request needs is missing:
    the outage is in the log, and in no readiness."""
    outage = DependencyOutages(DEPENDENCY).outage("open incidents are not stored again")
    await keep_doing(lambda: store_again(clickhouse, days), LOOK_EVERY, outage)
