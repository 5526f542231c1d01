"""Errors of ClickHouse and its driver: retry later, or look at the rows."""

from __future__ import annotations

import struct

from clickhouse_driver import errors

from aiops_core.errors import AiopsError, Unavailable

Codes = errors.ErrorCodes


class QueryFailed(AiopsError):
    """ClickHouse, or its driver, refused the query. With the same tables it would do so again."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_about_rows(self) -> bool:
        """Whether the rows of an insert were refused for what they contain."""
        return self.code in ROWS


class NotReached(Unavailable):
    """ClickHouse does not answer."""


class TookTooLong(Unavailable):
    """The query was stopped at its time limit; the server is there."""


# Nothing is wrong with the query: the server is overloaded, stopping, out of disk or closed to this
# user. Retried until it passes.
PASSING = {
    Codes.TIMEOUT_EXCEEDED,
    Codes.TOO_SLOW,
    Codes.SOCKET_TIMEOUT,
    Codes.NETWORK_ERROR,
    Codes.DNS_ERROR,
    Codes.MEMORY_LIMIT_EXCEEDED,
    Codes.CANNOT_ALLOCATE_MEMORY,
    Codes.TOO_MANY_SIMULTANEOUS_QUERIES,
    Codes.NO_FREE_CONNECTION,
    Codes.QUOTA_EXPIRED,
    Codes.QUERY_WAS_CANCELLED,
    Codes.ABORTED,
    Codes.READONLY,
    Codes.TABLE_IS_READ_ONLY,
    Codes.NOT_ENOUGH_SPACE,
    Codes.CANNOT_OPEN_FILE,
    Codes.CANNOT_READ_FROM_FILE_DESCRIPTOR,
    Codes.CANNOT_WRITE_TO_FILE_DESCRIPTOR,
    Codes.CANNOT_FSYNC,
    Codes.CANNOT_CREATE_DIRECTORY,
    Codes.UNKNOWN_USER,
    Codes.WRONG_PASSWORD,
    Codes.REQUIRED_PASSWORD,
    Codes.IP_ADDRESS_NOT_ALLOWED,
    252,  # TOO_MANY_PARTS: merges lag behind
    425,  # SYSTEM_ERROR
    439,  # CANNOT_SCHEDULE_TASK: no thread is free
    497,  # ACCESS_DENIED
    516,  # AUTHENTICATION_FAILED
    735,  # QUERY_WAS_CANCELLED_BY_CLIENT
}

# A value that its column cannot hold.
ROWS = {
    Codes.CANNOT_PARSE_TEXT,
    Codes.CANNOT_PARSE_ESCAPE_SEQUENCE,
    Codes.CANNOT_PARSE_QUOTED_STRING,
    Codes.CANNOT_PARSE_INPUT_ASSERTION_FAILED,
    Codes.CANNOT_PARSE_DATE,
    Codes.CANNOT_PARSE_DATETIME,
    Codes.CANNOT_PARSE_NUMBER,
    Codes.TYPE_MISMATCH,
    Codes.ARGUMENT_OUT_OF_BOUND,
    Codes.CANNOT_CONVERT_TYPE,
    Codes.TOO_LARGE_STRING_SIZE,
    Codes.TOO_LARGE_ARRAY_SIZE,
    Codes.INCORRECT_DATA,
    321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    469,  # VIOLATED_CONSTRAINT
}

# Raised by the driver while it encodes values as columns, beside its own errors.
UNWRITABLE = (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, struct.error)


def translated(exc: Exception) -> AiopsError:
    """*exc* of the driver as an error that says what the platform should do."""
    if isinstance(exc, errors.PartiallyConsumedQueryError):
        return NotReached("clickhouse connection was interrupted")
    if isinstance(exc, errors.NetworkError | errors.SocketTimeoutError | EOFError | OSError):
        return NotReached(f"clickhouse does not answer: {first_line(exc)}")
    if not isinstance(exc, errors.Error):
        return QueryFailed(
            f"the driver cannot write a value: {first_line(exc)}", Codes.TYPE_MISMATCH
        )
    message = f"clickhouse code {exc.code}: {first_line(exc)}"
    if exc.code == Codes.TIMEOUT_EXCEEDED:
        return TookTooLong(message)
    return Unavailable(message) if exc.code in PASSING else QueryFailed(message, exc.code)


def first_line(exc: BaseException) -> str:
    """Without the driver's own ``Code: N.`` line."""
    text = str(getattr(exc, "message", "") or exc).strip() or type(exc).__name__
    line = text.splitlines()[0].removeprefix("DB::Exception: ").partition(" Stack trace:")[0]
    return line[:300]
