"""Storing open incidents again: what is asked of ClickHouse, and what when it refuses."""

import asyncio

import pytest
from structlog.testing import capture_logs

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.runtime.backoff import Backoff
from incident_api import outage
from incident_api.lasting import keep_open_ones, statements, store_again


class Refusing:
    async def execute(self, sql):
        raise QueryFailed("table is in readonly mode", code=242)


async def test_a_store_that_refuses_is_waited_for():
    with pytest.raises(Unavailable, match="readonly"):
        await store_again(Refusing(), 365)


class Blinking:
    """ClickHouse that refuses the first statement."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refused = False

    async def execute(self, sql):
        if not self.refused:
            self.refused = True
            raise QueryFailed("table is in readonly mode", code=242)
        self.done.append(sql)


async def test_one_refusal_does_not_cost_an_hour(monkeypatch):
    monkeypatch.setattr(outage, "RETRY", Backoff(0.001, 0.001))
    clickhouse = Blinking()
    with capture_logs() as logs, pytest.raises(TimeoutError):
        await asyncio.wait_for(keep_open_ones(clickhouse, 365), 0.2)
    assert clickhouse.done == statements(365)
    assert [line["event"] for line in logs] == ["waiting", "going on"]


def test_occurrences_are_stored_before_their_incidents_and_long_before_they_expire():
    """An incident that is stored lacks no occurrence."""
    occurrences, _, incidents = statements(365)
    assert "INTO aiops.problem_occurrences " in occurrences
    assert "INTO aiops.incidents " in incidents
    assert all("INTERVAL 876 HOUR" in one for one in (occurrences, incidents))


def test_a_retention_of_a_day_still_stores_again_in_time():
    assert all("INTERVAL 2 HOUR" in one for one in statements(1))
