"""Migrations: ``clickhouse/NNNN_name.sql``, applied in order, recorded in ``aiops.migrations``.

Statements are idempotent: after a kill between a file and its record the file is applied again. A
file that was changed after it had been applied is refused. Migrations of a later release stay when
this one is put back, because they only add (decision 17).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.errors import Misconfigured, why
from aiops_core.policy.retention import Tables
from aiops_core.utils import StructuredLogger
from incident_api import __version__

log = StructuredLogger.get_logger(name="migrate", service="incident-api", version=__version__)

NAME = re.compile(r"(\d{4})_\w+\.sql")
RECORD = (
    "CREATE DATABASE IF NOT EXISTS aiops",
    (
        "CREATE TABLE IF NOT EXISTS aiops.migrations (number UInt32, name String, checksum String,"
        " applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'))"
        " ENGINE = ReplacingMergeTree ORDER BY number"
    ),
)
# The age of a row: never the time that a line states, nor that at which its sender says it came.
STORED = "stored_at"
NOT_THERE = {60, 81}  # the table, the database
APPLIED = "SELECT number, name, checksum FROM aiops.migrations FINAL ORDER BY number"
TTL = (
    "SELECT extract(engine_full, 'TTL toDateTime\\\\((\\\\w+)\\\\)'),"
    " toUInt32OrZero(extract(engine_full, 'TTL .*toIntervalDay\\\\((\\\\d+)\\\\)'))"
    " FROM system.tables WHERE database = %(database)s AND name = %(table)s"
)


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> Iterator[str]:
        """Comments are dropped; a statement ends with a semicolon at the end of a line."""
        lines = [line for line in self.sql.splitlines() if not line.lstrip().startswith("--")]
        for statement in re.split(r";\s*(?:\n|$)", "\n".join(lines)):
            if statement.strip():
                yield statement.strip()


async def migrate(clickhouse: ClickHouse, folder: Path, days: Tables) -> None:
    """Bring the schema up to date. Raises Misconfigured when an applied file has changed."""
    migrations = read(folder)
    applied = await _applied(clickhouse)
    if later := check(migrations, applied, folder):
        log.warning("the schema is of a later release", migrations=later)
    for migration in migrations:
        if migration.number not in applied:
            await _apply(clickhouse, migration)
    for table, kept in retention(days):
        await _keep(clickhouse, table, kept)


async def _applied(clickhouse: ClickHouse) -> dict[int, tuple[str, str]]:
    """The record. It is created only where it is missing: a read-only store can still be read."""
    try:
        rows = await clickhouse.query(APPLIED)
    except QueryFailed as exc:
        if exc.code not in NOT_THERE:
            raise
        for statement in RECORD:
            await clickhouse.execute(statement)
        rows = []
    return {row[0]: (row[1], row[2]) for row in rows}


def read(folder: Path) -> Sequence[Migration]:
    """The numbered files of *folder*, which count from 0001 without a gap."""
    try:
        paths = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
        migrations = [Migration(int(p.name[:4]), p.name, p.read_text("utf-8")) for p in paths]
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured(f"{folder}: migrations cannot be read: {why(exc)}") from exc
    if not migrations:
        raise Misconfigured(f"{folder}: no migration (NNNN_name.sql) in this folder")
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise Misconfigured(f"{folder}/{migration.name}: expected number {expected:04}")
    return migrations


def check(
    migrations: Sequence[Migration], applied: dict[int, tuple[str, str]], folder: Path
) -> list[str]:
    """Names of migrations of a later release. Raises Misconfigured when one of ours has changed."""
    for migration in migrations:
        _, checksum = applied.get(migration.number, ("", migration.checksum))
        if migration.checksum != checksum:
            raise Misconfigured(
                f"{folder}/{migration.name}: was changed after it had been applied; "
                "undo the change and add a new migration"
            )
    ours = {migration.number for migration in migrations}
    return [name for number, (name, _) in sorted(applied.items()) if number not in ours]


async def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    try:
        for statement in migration.statements:
            await clickhouse.execute(statement)
    except QueryFailed as exc:
        raise Misconfigured(f"{migration.name}: {exc}") from exc
    row = (migration.number, migration.name, migration.checksum)
    await clickhouse.insert("aiops.migrations", ("number", "name", "checksum"), [row])
    log.info("migrated", migration=migration.name)


def retention(days: Tables) -> Sequence[tuple[str, int]]:
    """Table, and the days that its rows stay after they were stored."""
    return (
        ("logs.raw", days.logs_raw),
        ("aiops.anomalies", days.anomalies),
        ("aiops.anomalies_digested", days.anomalies),
        ("aiops.incidents", days.incidents),
        ("aiops.incident_members", days.incidents),
        ("aiops.incident_events", days.incidents),
        ("aiops.problem_occurrences", days.incidents),
        ("aiops.problem_edits", days.incidents),
    )


async def _keep(clickhouse: ClickHouse, table: str, days: int) -> None:
    """Set the table's TTL where it differs."""
    database, name = table.split(".")
    rows = await clickhouse.query(TTL, {"database": database, "table": name})
    if rows and rows[0] != (STORED, days):
        await clickhouse.execute(
            f"ALTER TABLE {table} MODIFY TTL toDateTime({STORED}) + INTERVAL {days} DAY"
        )
        log.info("retention set", table=table, days=days)
