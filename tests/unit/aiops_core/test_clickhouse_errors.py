"""What errors of ClickHouse and its driver ask for."""

from __future__ import annotations

import struct

import pytest
from clickhouse_driver import errors

from aiops_core.adapters.clickhouse_errors import (
    UNWRITABLE,
    NotReached,
    QueryFailed,
    TookTooLong,
    translated,
)
from aiops_core.errors import Unavailable


def refused(code: int) -> errors.ServerException:
    return errors.ServerException("DB::Exception: no. Stack trace:\n\n0.", code)


@pytest.mark.parametrize(
    "code", [159, 202, 210, 236, 241, 242, 243, 252, 394, 425, 439, 497, 516, 735, 74, 75, 76, 164]
)
def test_what_passes_by_itself_or_when_somebody_mends_it_is_unavailable(code):
    problem = translated(refused(code))
    assert isinstance(problem, Unavailable)
    assert isinstance(problem, TookTooLong) == (code == 159)
    assert str(problem) == f"clickhouse code {code}: no."


@pytest.mark.parametrize("code", [6, 27, 38, 41, 53, 69, 70, 72, 117, 128, 131, 321, 349, 469])
def test_values_that_a_column_cannot_hold_are_about_rows(code):
    problem = translated(refused(code))
    assert isinstance(problem, QueryFailed) and problem.is_about_rows


@pytest.mark.parametrize("code", [16, 46, 47, 60, 62, 81, 999, 1001, 99999])
def test_other_refusals_are_about_the_query_or_unknown(code):
    problem = translated(refused(code))
    assert isinstance(problem, QueryFailed) and not problem.is_about_rows


@pytest.mark.parametrize(
    "exc",
    [
        errors.TypeMismatchError("Column n: int too large"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        AttributeError("'NoneType' object has no attribute 'encode'"),
        struct.error("required argument is not an integer"),
        OverflowError("too large"),
        TypeError("object of type 'NoneType' has no len()"),
    ],
)
def test_what_the_driver_cannot_write_down_is_about_rows(exc):
    assert isinstance(exc, (errors.Error, *UNWRITABLE))
    problem = translated(exc)
    assert isinstance(problem, QueryFailed) and problem.is_about_rows


@pytest.mark.parametrize(
    "exc",
    [
        errors.NetworkError("reset"),
        errors.SocketTimeoutError("timed out"),
        EOFError(),
        ConnectionResetError(),
        errors.PartiallyConsumedQueryError(),
    ],
)
def test_a_connection_that_breaks_is_not_reached(exc):
    assert isinstance(translated(exc), NotReached)
