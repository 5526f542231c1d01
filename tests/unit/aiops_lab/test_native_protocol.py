"""The pure parts of the embedded ClickHouse: bytes, columns, blocks and inserts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_lab.embedded import wire
from aiops_lab.embedded.columns import (
    Column,
    blocks,
    check_served,
    header,
    read_block,
    skip_block_info,
)
from aiops_lab.embedded.engine import InsertTarget, insert_target, may_change_tables
from aiops_lab.embedded.wire import EngineError, Incoming, ProtocolError


def incoming(data: bytes, piece: int = 3) -> Incoming:
    """A reader that gets its bytes in small pieces."""
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    return Incoming(iter([*pieces, b""]).__next__)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_varint_comes_back(number: int) -> None:
    assert incoming(wire.varint(number)).varint() == number


@given(st.lists(st.text()), st.integers(min_value=1, max_value=300))
def test_texts_come_back_one_by_one_or_in_bulk(texts: list[str], piece: int) -> None:
    data = b"".join(map(wire.text, texts))
    source = incoming(data, piece)
    assert [source.text() for _ in texts] == texts
    source = incoming(data + b"rest", piece)
    source.skip_strings(len(texts))
    assert source.since(0) == data
    source.forget()
    assert source.take(4) == b"rest"


def test_bytes_that_end_too_early_are_an_end() -> None:
    with pytest.raises(EOFError):
        incoming(b"\x05abc").text()
    with pytest.raises(EOFError):
        incoming(b"\x05abc").skip_strings(1)


def test_a_text_that_is_not_utf8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        incoming(b"\x01\xff").text()


def block(kind: str, rows: int, values: bytes) -> bytes:
    return wire.varint(1) + wire.varint(rows) + wire.text("c") + wire.text(kind) + values


@pytest.mark.parametrize(
    ("kind", "rows", "values"),
    [
        ("UInt16", 2, b"aabb"),
        ("DateTime64(3, 'UTC')", 1, b"8 bytes."),
        ("Nullable(String)", 2, b"\0\1\1a\0"),
        ("Array(String)", 2, bytes([1, *[0] * 7, 2, *[0] * 7]) + b"\1a\2bc"),
        ("Map(String, UInt8)", 1, bytes([2, *[0] * 7]) + b"\1a\1b" + b"vw"),
        (
            "LowCardinality(String)",
            2,
            bytes([1, *[0] * 7])
            + bytes([0, 6, *[0] * 6, 1, *[0] * 7])
            + b"\1a"
            + bytes([2, *[0] * 7, 0, 0]),
        ),
        ("LowCardinality(String)", 0, b""),
    ],
)
def test_a_column_ends_where_its_type_says(kind: str, rows: int, values: bytes) -> None:
    whole = block(kind, rows, values)
    assert read_block(incoming(whole + b"next")) == whole


@pytest.mark.parametrize("kind", ["JSON", "DateTime", "Array(UUID)", "Map(String, Tuple(UInt8))"])
def test_a_type_that_is_not_served_is_named(kind: str) -> None:
    with pytest.raises(EngineError, match="is not served by the embedded engine"):
        check_served([Column("a", "String"), Column("b", kind)])


def test_blocks_are_told_apart() -> None:
    first, second = block("String", 2, b"\1a\1b"), block("String", 1, b"\1c")
    assert list(blocks(first + second)) == [first, second]
    assert list(blocks(b"")) == []


def test_a_header_is_a_block_without_rows() -> None:
    expected = header([Column("c", "JSON")])
    assert read_block(incoming(expected)) == expected == block("JSON", 0, b"")
    assert read_block(incoming(b"\0\0")) == b""


def test_block_info_is_skipped() -> None:
    source = incoming(wire.BLOCK_INFO + b"rest")
    skip_block_info(source)
    assert source.take(4) == b"rest"
    with pytest.raises(ProtocolError):
        skip_block_info(incoming(b"\x09"))


@pytest.mark.parametrize(
    ("sql", "target"),
    [
        ("INSERT INTO t VALUES", InsertTarget("INSERT INTO t", "t", (), "")),
        (
            "insert into a.t (x, `y`)\nvalues ;",
            InsertTarget("insert into a.t (x, `y`)", "a.t", ("x", "y"), ""),
        ),
        ("INSERT INTO `values` VALUES", InsertTarget("INSERT INTO `values`", "`values`", (), "")),
        (
            "INSERT INTO t (x) SETTINGS insert_deduplication_token = 'VALUES;' VALUES",
            InsertTarget(
                "INSERT INTO t (x)", "t", ("x",), "SETTINGS insert_deduplication_token = 'VALUES;'"
            ),
        ),
        ("INSERT INTO t VALUES (1)", None),
        ("INSERT INTO t SELECT 'VALUES'", None),
        ("INSERT INTO t FORMAT CSV 1", None),
        ("SELECT 1", None),
    ],
)
def test_an_insert_without_data_waits_for_blocks(sql: str, target: InsertTarget | None) -> None:
    assert insert_target(sql) == target


def test_a_query_changes_no_table() -> None:
    changing = ["ALTER TABLE t DROP COLUMN a", "use a", "-- why\nCREATE TABLE t"]
    assert all(map(may_change_tables, changing))
    assert not any(map(may_change_tables, ["select 1", " WITH 1 AS x SELECT x", "INSERT INTO t"]))


@pytest.mark.parametrize(
    ("report", "code", "message"),
    [
        (
            "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)",
            60,
            "Table x does not exist",
        ),
        ("Code: 6. DB::Exception: a (b): c. (X_Y) (version 26.9.2.1)", 6, "a (b): c"),
        ("something else", 1002, "something else"),
    ],
)
def test_a_report_of_the_engine_becomes_number_and_text(
    report: str, code: int, message: str
) -> None:
    error = EngineError.parsed(report)
    assert (error.code, error.message) == (code, message)
