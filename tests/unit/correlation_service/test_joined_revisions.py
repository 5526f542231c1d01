"""A joined update names the revisions that it contains: readers need not wait for them."""

from __future__ import annotations

from aiops_core.runtime.bus import Outgoing
from correlation_service.joining import merge
from incident_api.folding import evolve
from tests.incident_cases import cleared, created, updated


def test_of_a_storm_that_is_joined_no_revision_is_missing():
    facts = [updated(2, 1), updated(3, 2), cleared(4), updated(5, 3), updated(6, 4)]
    batch = merge([Outgoing(fact, f"i1/{fact.revision}") for fact in facts])
    told = [(one.message.revision, getattr(one.message, "joined", ())) for one in batch]
    assert told == [(6, (2, 3, 5)), (4, ())]
    stored = evolve(None, created())
    for one in batch:
        stored = evolve(stored, one.message)
    assert (stored.revision, stored.missing, stored.incident.anomaly_count) == (6, (), 5)
