"""Storing open incidents again: what is asked of ClickHouse, and what when it refuses."""

import pytest

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from incident_api.lasting import statements, store_again


class Refusing:
    async def execute(self, sql):
        raise QueryFailed("table is in readonly mode", code=242)


async def test_a_store_that_refuses_is_waited_for():
    with pytest.raises(Unavailable, match="readonly"):
        await store_again(Refusing(), 365)


def test_occurrences_are_stored_before_their_incidents_and_long_before_they_expire():
    """An incident that is stored lacks no occurrence."""
    occurrences, incidents = statements(365)
    assert "INTO aiops.problem_occurrences " in occurrences
    assert "INTO aiops.incidents " in incidents
    assert all("INTERVAL 876 HOUR" in one for one in (occurrences, incidents))


def test_a_retention_of_a_day_still_stores_again_in_time():
    assert all("INTERVAL 2 HOUR" in one for one in statements(1))
