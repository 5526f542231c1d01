"""The pure parts of the embedded ClickHouse: bytes, layouts, blocks and statements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_lab.embedded.native import wire
from aiops_lab.embedded.native.blocks import (
    Column,
    columns_in,
    copy_block,
    header,
    skip_info,
    split,
)
from aiops_lab.embedded.native.faults import fault
from aiops_lab.embedded.native.layout import Sink, UnknownLayout, arguments, layout_of
from aiops_lab.embedded.native.statements import Kind, Target, understand, unquoted
from aiops_lab.embedded.native.wire import Incoming, ProtocolError


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
    assert b"".join(incoming(data + b"rest", piece).strings(len(texts))) == data


def test_bytes_that_end_too_early_are_an_end() -> None:
    with pytest.raises(EOFError):
        incoming(b"\x05abc").text()
    with pytest.raises(EOFError):
        list(incoming(b"\x05abc").strings(1))


def test_a_text_that_is_not_utf8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        incoming(b"\x01\xff").text()


@pytest.mark.parametrize(
    ("spec", "rows", "data"),
    [
        ("UInt16", 2, b"aabb"),
        ("FixedString(3)", 2, b"abcdef"),
        ("Decimal(10, 2)", 1, b"8 bytes."),
        ("DateTime64(3, 'UTC')", 1, b"8 bytes."),
        ("Enum8('a,(' = 1, 'b' = 2)", 3, b"abc"),
        ("IntervalDay", 1, b"8 bytes."),
        ("Nullable(String)", 2, b"\0\1\1a\0"),
        ("Array(String)", 2, bytes([1, *[0] * 7, 2, *[0] * 7]) + b"\1a\2bc"),
        ("Map(String, UInt8)", 1, bytes([2, *[0] * 7]) + b"\1a\1b" + b"vw"),
        ("Tuple(a UInt8, `b c` String)", 1, b"x\1y"),
        (
            "LowCardinality(Nullable(String))",
            2,
            bytes([0, 6, *[0] * 6, 1, *[0] * 7, 0, 2, *[0] * 7, 0, 0]),
        ),
        ("LowCardinality(String)", 0, b""),
        ("Point", 1, b"8 bytes.8 bytes."),
        ("SimpleAggregateFunction(max, UInt32)", 1, b"4444"),
        ("Nested(a UInt8, b UInt16)", 1, bytes([1, *[0] * 7]) + b"abb"),
    ],
)
def test_a_column_ends_where_its_type_says(spec: str, rows: int, data: bytes) -> None:
    source, seen = incoming(data + b"next"), bytearray()
    layout_of(spec).copy(source, rows, seen.extend)
    assert bytes(seen) == data
    assert source.take(4) == b"next"


def test_dictionaries_announce_themselves() -> None:
    assert layout_of("Map(LowCardinality(String), Array(LowCardinality(String)))").prefix == 16


@pytest.mark.parametrize("spec", ["JSON", "Dynamic", "AggregateFunction(sum, UInt8)", "Strin"])
def test_what_cannot_be_measured_is_refused(spec: str) -> None:
    with pytest.raises(UnknownLayout):
        layout_of(spec)


def test_arguments_mind_quotes_and_nesting() -> None:
    assert list(arguments("'a,\\'(' = 1, Tuple(a, b), `x,y` String")) == [
        "'a,\\'(' = 1",
        "Tuple(a, b)",
        "`x,y` String",
    ]


def block(*rows: str) -> bytes:
    values = b"".join(map(wire.text, rows))
    return wire.varint(1) + wire.varint(len(rows)) + wire.text("s") + wire.text("String") + values


def test_blocks_are_told_apart() -> None:
    two = block("a", "b") + block("c")
    assert list(split(two, 3)) == [(2, block("a", "b")), (1, block("c"))]
    assert list(split(block("a"), 1)) == [(1, block("a"))]


def test_a_type_can_be_renamed_on_the_way() -> None:
    source = block("a").replace(b"\x06String", b"\x05UInt8").replace(b"\1a", b"a")
    (renamed,) = split(source, 1, ["Enum8('a' = 97)"])
    assert columns_in(renamed[1]) == (Column("s", "Enum8('a' = 97)"),)


def test_a_block_without_rows_opens_no_sink() -> None:
    def never() -> Sink:
        raise AssertionError

    assert copy_block(incoming(header([Column("a", "JSON")])), never).columns == (
        Column("a", "JSON"),
    )


def test_block_info_is_skipped() -> None:
    source = incoming(b"\x01\x00\x02\xff\xff\xff\xff\x00rest")
    skip_info(source)
    assert source.take(4) == b"rest"
    with pytest.raises(ProtocolError):
        skip_info(incoming(b"\x09"))


def feeds(table: str, *columns: str, head: str, settings: str = "") -> Target:
    return Target(head, table, columns, settings)


@pytest.mark.parametrize(
    ("sql", "target"),
    [
        ("INSERT INTO t VALUES", feeds("t", head="INSERT INTO t")),
        (
            "insert into a.t (x, `y z`) values ;",
            feeds("a.t", "x", "`y z`", head="insert into a.t (x, `y z`)"),
        ),
        ("INSERT INTO `values` FORMAT Native", feeds("`values`", head="INSERT INTO `values`")),
        (
            "INSERT INTO t (* EXCEPT(a, b), c)",
            feeds("t", "* EXCEPT(a, b)", "c", head="INSERT INTO t (* EXCEPT(a, b), c)"),
        ),
        (
            "INSERT INTO t (x) SETTINGS a=1 VALUES",
            feeds("t", "x", head="INSERT INTO t (x)", settings="SETTINGS a=1"),
        ),
        (
            "INSERT INTO FUNCTION null('x Int') (x) VALUES -- no more",
            feeds("null('x Int')", "x", head="INSERT INTO FUNCTION null('x Int') (x)"),
        ),
        ("INSERT INTO TABLE t VALUES", feeds("t", head="INSERT INTO TABLE t")),
    ],
)
def test_an_insert_without_data_waits_for_blocks(sql: str, target: Target) -> None:
    statement = understand(sql)
    assert statement.kind is Kind.FEED
    assert statement.target == target


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("INSERT INTO t VALUES (1)", Kind.WRITE),
        ("INSERT INTO t SELECT 'VALUES'", Kind.WRITE),
        ("INSERT INTO t (SELECT 1)", Kind.WRITE),
        ("INSERT INTO t (a) WITH 1 AS x SELECT x", Kind.WRITE),
        ("INSERT INTO t FORMAT CSV 1", Kind.WRITE),
        ("/* c */ -- d\n select 1", Kind.ROWS),
        ("(SELECT 1)", Kind.ROWS),
        ("DESC t", Kind.FACTS),
        ("set a = 1", Kind.SET),
        ("USE a", Kind.USE),
        ("ALTER TABLE t DROP COLUMN a", Kind.CHANGE),
        ("", Kind.CHANGE),
    ],
)
def test_the_first_words_tell_the_kind(sql: str, kind: Kind) -> None:
    assert understand(sql).kind is kind


@pytest.mark.parametrize(
    ("sql", "bare"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 FORMAT JSON ;", "SELECT 1 "),
        ("SELECT 1 FORMAT JSON SETTINGS a=1", "SELECT 1  SETTINGS a=1"),
        ("SELECT format('{}', x) AS format FROM t", "SELECT format('{}', x) AS format FROM t"),
        ("SELECT 'FORMAT x'", "SELECT 'FORMAT x'"),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", "SELECT * FROM (SELECT 1 FORMAT JSON)"),
    ],
)
def test_results_are_formatted_by_the_client(sql: str, bare: str) -> None:
    assert understand(sql).sql == bare


def test_names_lose_their_quotes() -> None:
    assert [unquoted(name) for name in ("a", "`a b`", '"a\\"b"')] == ["a", "a b", 'a"b']


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
def test_a_report_becomes_a_fault(report: str, code: int, message: str) -> None:
    found = fault(report)
    assert (found.code, found.message) == (code, message)
