"""Logs as in production: tracebacks in colours take longer than the tests."""

import pytest

from aiops_core.utils import StructuredLogger


@pytest.fixture(autouse=True)
def _logs():
    StructuredLogger.configure("error")
