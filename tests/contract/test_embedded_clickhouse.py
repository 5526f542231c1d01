# ruff: noqa: S608 - the names of the tables are our own
"""The embedded ClickHouse through clickhouse-driver only, as the services use it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("chdb")

from clickhouse_driver import Client, errors
from clickhouse_driver.errors import PartiallyConsumedQueryError, ServerException

from tests import clickhouse_server as launch
from tests.clickhouse_server import NotStarted, running, start

MANY = 300_000


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("clickhouse")) as port:
        with Client("127.0.0.1", port) as client:
            client.execute("CREATE DATABASE aiops")
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client("127.0.0.1", port, database="aiops") as client:
        yield client


def table(client: Client, columns: str) -> str:
    """A new table with these columns, in their order of insertion."""
    name = f"t_{uuid4().hex}"
    client.execute(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
    return name


def ints(kind: str, bits: int) -> tuple[str, list[Any]]:
    low, high = (0, 2**bits - 1) if kind == "UInt" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return f"{kind}{bits}", [low, 1, high]


NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LONG = "ä" * 100 + "x" * 20_000

COLUMNS: list[tuple[str, list[Any]]] = [
    *(ints(kind, bits) for kind in ("UInt", "Int") for bits in (8, 16, 32, 64)),
    ("String", ["", "plain", "tab\t quote ' null \0 Ж 漢 🚢", LONG]),
    ("Float32", [0.0, -1.5, 2.0**100]),
    ("Float64", [0.0, -1e300, float("inf")]),
    ("Bool", [True, False]),
    ("Date", [date(1970, 1, 1), date(2149, 6, 6)]),
    ("DateTime64(3, 'UTC')", [NOON.replace(microsecond=123_000)]),
    ("DateTime64(6, 'UTC')", [NOON.replace(microsecond=123_456)]),
    ("LowCardinality(String)", ["a", "b", "a", ""]),
    ("Nullable(String)", ["a", None, ""]),
    ("Nullable(Float64)", [1.5, None]),
    ("Array(String)", [[], ["a", "", LONG], []]),
    ("Array(Array(Nullable(Int32)))", [[], [[1, None], []]]),
    ("Array(LowCardinality(String))", [["a", "b"], [], ["a"]]),
    ("Map(String, String)", [{}, {"k": "v", "": LONG}]),
    ("Map(String, DateTime64(6, 'UTC'))", [{"detect": NOON}, {}]),
    ("Map(LowCardinality(String), Array(UInt8))", [{"k": [1, 2]}, {}]),
]


@pytest.mark.parametrize(("kind", "values"), COLUMNS, ids=[kind for kind, _ in COLUMNS])
def test_a_value_comes_back_as_it_went(client: Client, kind: str, values: list[Any]) -> None:
    name = table(client, f"n UInt32, v {kind}")
    client.execute(f"INSERT INTO {name} VALUES", list(enumerate(values)))
    rows = client.execute(f"SELECT v FROM {name} ORDER BY n")
    assert [value for (value,) in rows] == values


@pytest.mark.parametrize("kind", ["UUID", "DateTime('UTC')", "Tuple(String, UInt8)"])
def test_a_type_of_no_table_of_ours_is_refused_by_name(client: Client, kind: str) -> None:
    name = table(client, f"n UInt8, v {kind}")
    with pytest.raises(ServerException, match=re.escape(f"type {kind} is not served")) as caught:
        client.execute(f"INSERT INTO {name} VALUES", [(1, 1)])
    assert caught.value.code == 50
    client.execute(f"INSERT INTO {name} (n) SELECT 1")
    with pytest.raises(ServerException, match="is not served by the embedded engine"):
        client.execute(f"SELECT v FROM {name}")
    assert client.execute("SELECT 1") == [(1,)]


def test_compression_and_external_tables_are_refused(client: Client) -> None:
    tables = [{"name": "ext", "structure": [("x", "Int32")], "data": [{"x": 1}]}]
    with pytest.raises(ServerException, match="External tables") as caught:
        client.execute("SELECT x FROM ext", external_tables=tables)
    assert caught.value.code == 48
    client.execute("SELECT 1")  # connects
    client.connection.compression = 1  # the flag only: no compressor is installed here
    client.connection.send_query("SELECT 1")
    with pytest.raises(ServerException, match="Compression"):
        client.receive_result()


def test_many_rows_in_and_out(client: Client) -> None:
    name = table(client, "n UInt64, s String, c LowCardinality(String)")
    rows = [(n, f"line {n}", f"service-{n % 7}") for n in range(MANY)]
    assert client.execute(f"INSERT INTO {name} VALUES", rows) == MANY
    assert client.execute(f"SELECT * FROM {name} ORDER BY n") == rows


def test_many_blocks_are_one_insert(client: Client) -> None:
    name = table(client, "n UInt64")
    rows = ([n] for n in range(1000))
    client.execute(f"INSERT INTO {name} (n) VALUES", rows, settings={"insert_block_size": 10})
    assert client.execute(f"SELECT count(), sum(n) FROM {name}") == [(1000, 499_500)]
    assert client.execute(
        "SELECT count() FROM system.parts WHERE table = %(name)s AND level = 0", {"name": name}
    ) == [(1,)]


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO {} VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO {} (s, n) SELECT 'a', 1 UNION ALL SELECT 'b', 2",
        'INSERT INTO {} FORMAT JSONEachRow {{"n": 1, "s": "a"}} {{"n": 2, "s": "b"}}',
        "INSERT INTO TABLE {} (`n`, s) /* VALUES */ SETTINGS max_threads=1 VALUES (1,'a'),(2,'b');",
    ],
)
def test_an_insert_may_bring_its_own_data(client: Client, insert: str) -> None:
    name = table(client, "n UInt64, s String")
    client.execute(insert.format(name))
    assert client.execute(f"SELECT * FROM {name} ORDER BY n") == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO {} (s, `n`) VALUES",
        "insert into aiops.{} (s, n) values;",
        "INSERT INTO {}(s,n) SETTINGS max_threads=1 VALUES",
    ],
)
def test_columns_of_an_insert_are_found(client: Client, insert: str) -> None:
    name = table(client, "s String, n UInt64, d UInt8 DEFAULT 7, m UInt64 MATERIALIZED n + 1")
    client.execute(insert.format(name), [("a", 1)])
    assert client.execute(f"SELECT s, n, d, m FROM {name}") == [("a", 1, 7, 2)]


def test_a_changed_table_is_described_anew(port: int, client: Client) -> None:
    name = table(client, "n UInt64")
    client.execute(f"INSERT INTO {name} VALUES", [(1,)])
    with Client("127.0.0.1", port, database="aiops") as other:
        other.execute(f"ALTER TABLE {name} ADD COLUMN s String")
    client.execute(f"INSERT INTO {name} VALUES", [(2, "new")])
    assert client.execute(f"SELECT * FROM {name} ORDER BY n") == [(1, ""), (2, "new")]


def test_nothing_inserted_is_no_error(client: Client) -> None:
    name = table(client, "n UInt64")
    assert client.execute(f"INSERT INTO {name} VALUES", []) == 0


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELEC 1", 62, "Syntax error"),
        ("SELECT * FROM nowhere", 60, "nowhere"),
        ("SELECT nothing", 47, "nothing"),
        ("SELECT throwIf(number = 300000) FROM numbers(400000)", 395, "throwIf"),
        ("DROP TABLE nowhere", 60, "nowhere"),
        ("SET no_such_setting = 1", 115, "no_such_setting"),
        ("INSERT INTO nowhere VALUES (1)", 60, "nowhere"),
        ("SELECT 1 SETTINGS no_such = 1", 115, "no_such"),
    ],
)
def test_errors_carry_number_and_text(client: Client, sql: str, code: int, says: str) -> None:
    with pytest.raises(ServerException, match=says) as caught:
        client.execute(sql)
    assert caught.value.code == code
    assert client.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize(("target", "code"), [("nowhere", 60), ("{} (zz)", 16)])
def test_an_insert_into_nothing_is_refused(client: Client, target: str, code: int) -> None:
    name = table(client, "n UInt64")
    with pytest.raises(ServerException) as caught:
        client.execute(f"INSERT INTO {target.format(name)} VALUES", [(1,)])
    assert caught.value.code == code


def test_after_a_bad_insert_the_next_one_is_good(client: Client) -> None:
    name = table(client, "n UInt64, CONSTRAINT small CHECK n < 10")
    with pytest.raises(ServerException) as caught:
        rows = [[n] for n in range(1000)]
        client.execute(f"INSERT INTO {name} VALUES", rows, settings={"insert_block_size": 10})
    assert caught.value.code == 469
    client.execute(f"INSERT INTO {name} VALUES", [(1,)])
    assert client.execute(f"SELECT n FROM {name}") == [(1,)]


def test_clients_do_not_wait_for_each_other(port: int) -> None:
    def slow() -> int:
        with Client("127.0.0.1", port) as client, pytest.raises(ServerException) as caught:
            client.execute(HEAVY, settings={"max_threads": 1, "max_execution_time": 1.0})
        code: int = caught.value.code
        return code

    with ThreadPoolExecutor() as pool, Client("127.0.0.1", port, database="aiops") as client:
        name = table(client, "n UInt64")
        stuck = pool.submit(slow)
        started = time.monotonic()
        for n in range(10):
            client.execute(f"INSERT INTO {name} VALUES", [(n,)])
        assert not stuck.done() and time.monotonic() - started < 0.9
        assert stuck.result() == 159


def test_many_clients_at_once(port: int) -> None:
    with Client("127.0.0.1", port, database="aiops") as client:
        name = table(client, "n UInt64")

    def work(n: int) -> None:
        with Client("127.0.0.1", port, database="aiops") as client:
            client.execute(f"INSERT INTO {name} VALUES", [(n,)])
            assert (n,) in client.execute(f"SELECT n FROM {name}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(64)))


HEAVY = "SELECT sum(sipHash64(number)) FROM numbers(100000000000)"


def test_a_query_ends_with_its_client(client: Client, port: int) -> None:
    client.execute("SELECT 1")
    client.connection.send_query(HEAVY)
    client.connection.send_external_tables([])
    time.sleep(0.2)
    assert heavy_queries(port) == 1
    client.disconnect()
    deadline = time.monotonic() + 3
    while heavy_queries(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert heavy_queries(port) == 0


def heavy_queries(port: int) -> int:
    with Client("127.0.0.1", port) as client:
        sql = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(sipHash64%%'"
        count: int = client.execute(sql.replace("%%", "%"))[0][0]
        return count


def test_settings_hold_for_their_query_only(client: Client) -> None:
    seen = "SELECT getSetting('max_block_size')"
    assert client.execute(seen, settings={"max_block_size": 77}) == [(77,)]
    assert client.execute(seen) != [(77,)]
    for _ in range(2):
        with pytest.raises(ServerException, match="no_such_setting") as caught:
            client.execute(seen, settings={"no_such_setting": 1})
        assert caught.value.code == 115
    assert client.execute(seen, settings={"max_block_size": 78})[0][0] == 78


def test_parameters_are_substituted(client: Client) -> None:
    values = {"s": "it's \\ \n %", "l": [1, 2]}
    assert client.execute("SELECT %(s)s, %(l)s", values) == [("it's \\ \n %", [1, 2])]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("WITH 2 AS x SELECT x;", [(2,)]),
        ("(SELECT 1) UNION ALL (SELECT 1)", [(1,), (1,)]),
        ("-- a comment\nSELECT 'FORMAT x'", [("FORMAT x",)]),
        ("EXISTS TABLE nowhere", [(0,)]),
        ("SHOW TABLES LIKE 'nothing'", []),
        ("SELECT 1 WHERE 0", []),
        ("CREATE TABLE IF NOT EXISTS once (n UInt8) ENGINE = Memory", []),
    ],
)
def test_statements_of_all_kinds(client: Client, sql: str, rows: list[Any]) -> None:
    assert client.execute(sql) == rows


def test_the_database_can_be_chosen_and_changed(port: int, client: Client) -> None:
    assert client.execute("SELECT currentDatabase()") == [("aiops",)]
    client.execute("USE system")
    assert client.execute("SELECT currentDatabase()") == [("system",)]
    with Client("127.0.0.1", port, database="nowhere") as lost:
        with pytest.raises(ServerException) as caught:
            lost.execute("SELECT 1")
        assert caught.value.code == 81


def test_the_server_introduces_itself(client: Client) -> None:
    client.execute("SELECT 1")
    info = client.connection.server_info
    assert (info.name, info.timezone) == ("ClickHouse", "UTC")
    version, timezone = client.execute("SELECT version(), timezone()")[0]
    assert version.startswith(".".join(map(str, info.version_tuple()))) and timezone == "UTC"
    assert client.connection.ping()


def test_a_half_read_result_is_noticed(client: Client) -> None:
    client.execute_iter("SELECT number FROM numbers(1000000)")
    with pytest.raises(PartiallyConsumedQueryError):
        client.execute("SELECT 1")


def test_what_is_no_client_is_shown_the_door(port: int, client: Client) -> None:
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stranger.settimeout(2)
        assert stranger.recv(100) == b""
    assert client.execute("SELECT 1") == [(1,)]


def test_small_inserts_are_merged(client: Client) -> None:
    name = table(client, "n UInt64")
    for n in range(60):
        client.execute(f"INSERT INTO {name} VALUES", [(n,)])
    sql = "SELECT count() FROM system.parts WHERE active AND table = %(name)s"
    deadline = time.monotonic() + 5
    while client.execute(sql, {"name": name})[0][0] > 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client.execute(sql, {"name": name})[0][0] <= 20


def test_the_engine_keeps_no_logs_of_its_own(client: Client) -> None:
    sql = "SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
    assert client.execute(sql) == []


def test_a_stop_is_quick_and_keeps_the_data(tmp_path: Path) -> None:
    first = start(tmp_path)
    with Client("127.0.0.1", first.port) as client:
        client.execute("CREATE DATABASE aiops")
        client.execute("CREATE TABLE aiops.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        client.execute("INSERT INTO aiops.t VALUES", [(n,) for n in range(100)])
        client.connection.send_query(HEAVY)
        client.connection.send_external_tables([])
        started = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - started < 5
    with running(tmp_path) as port, Client("127.0.0.1", port, database="aiops") as client:
        assert client.execute("SELECT count(), sum(n) FROM t") == [(100, 4950)]


def test_what_was_acknowledged_survives_a_crash(tmp_path: Path) -> None:
    server, acknowledged = start(tmp_path), 0
    with Client("127.0.0.1", server.port) as client:
        client.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
        crash = threading.Timer(0.2, server.kill)
        with pytest.raises((EOFError, OSError, errors.NetworkError)):
            while True:
                client.execute("INSERT INTO t VALUES", [(acknowledged,)])
                acknowledged += 1
                if acknowledged == 10:
                    crash.start()
        crash.join()
    with running(tmp_path) as port, Client("127.0.0.1", port) as client:
        count, last = client.execute("SELECT count(), max(n) FROM t")[0]
        assert count in (acknowledged, acknowledged + 1) and last == count - 1


def test_a_taken_port_is_said_in_one_line(port: int, tmp_path: Path) -> None:
    with pytest.raises(NotStarted) as caught:
        start(tmp_path, port)
    assert f" ERROR embedded clickhouse: port {port} cannot be used" in str(caught.value)


def test_a_folder_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(NotStarted, match="in use") as caught:
        start(tmp_path)
    assert " ERROR embedded clickhouse: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_engine_says_before_the_reason_is_not_told(tmp_path, monkeypatch) -> None:
    says = "import sys; sys.exit('Cannot use cgroups reader\\n0. ? @ 0x1d96\\nno port is free')"
    monkeypatch.setattr(launch, "_command", lambda *_: [sys.executable, "-c", says])
    with pytest.raises(NotStarted, match=r"^no port is free$"):
        start(tmp_path)


def test_without_a_folder_there_is_only_usage() -> None:
    command = [sys.executable, "-m", "aiops_lab.embedded.clickhouse"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--data" in done.stderr
