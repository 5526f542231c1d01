"""The limit of the bench goes the way of the fleet: through the same streams."""

from aiops_core.adapters.nats_streams import stream_of
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Incident, LogEntry
from aiops_lab.bench.relay import HOPS


def test_every_hop_lies_in_the_stream_in_which_that_of_the_fleet_does():
    fleet = (LogEntry, AnomalyDetected, EnrichedAnomaly, Incident)
    assert [stream_of(hop) for hop in HOPS] == [stream_of(kind.subject) for kind in fleet]
