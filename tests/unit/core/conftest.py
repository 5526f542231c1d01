"""Logs as in production: tracebacks in colours take longer than the tests."""

import pytest
import structlog

from aiops_core.utils import StructuredLogger


@pytest.fixture(autouse=True)
def _logs():
    before = structlog.get_config()
    StructuredLogger.configure("error")
    yield
    structlog.configure(**before)
