"""Limits of streams against what services read again when they start."""

import re
import shutil

import pytest

from aiops_core.adapters.nats_bucket import BUCKET_BYTES
from aiops_core.adapters.nats_publish import BATCH, COMMIT, MSG_ID, PLACE
from aiops_core.adapters.nats_streams import SUBJECTS, differ, stream_of
from aiops_core.adapters.nats_streams import configs as stream_configs
from aiops_core.errors import Misconfigured
from aiops_core.models import MESSAGES
from aiops_core.policy.retention import COSTS, RetentionPolicy, load_with_retention
from aiops_core.runtime.service import utc_now
from aiops_lab.bench.load import Load
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy
from enrichment_service.context import Memory
from enrichment_service.handler import Enricher
from enrichment_service.policy import EnrichPolicy
from tests.conftest import ROOT
from tests.runtime_cases import received

POLICIES = ROOT / "policies"
KINDS = (CorrelatePolicy, EnrichPolicy, DetectPolicy)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(POLICIES, tmp_path / "policies")


def change(folder, file, old, new):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def refusal(kind, folder):
    with pytest.raises(Misconfigured) as caught:
        load_with_retention(kind, folder)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_limits_keep_two_fifths_more_than_any_service_reads_again(kind):
    retention = RetentionPolicy.load(POLICIES)
    heavier = retention.promise.model_copy(
        update={key: rate * 1.4 for key, rate in retention.promise}
    )
    loaded = retention.model_copy(update={"promise": heavier})
    assert list(loaded.flaws(kind.load(POLICIES), POLICIES)) == []


def test_a_stream_of_facts_that_is_smaller_than_the_memory_of_correlation_is_refused(folder):
    change(folder, "retention.yaml", "max_bytes: 8000000000", "max_bytes: 1000000000")
    said = refusal(CorrelatePolicy, folder)
    assert "retention.yaml:20: streams.incidents.max_bytes: 1000000000 bytes are 0.84 h" in said
    assert "correlate.yaml needs 4.51 h" in said and "at least 5352600000 bytes" in said
    assert load_with_retention(EnrichPolicy, folder)  # which reads other streams


def test_a_memory_that_is_longer_than_the_age_of_facts_is_refused(folder):
    change(folder, "correlate.yaml", "max_length: PT4H", "max_length: P8D")
    said = refusal(CorrelatePolicy, folder)
    assert "streams.incidents.max_age: 168.00 h, but correlate.yaml needs 192.51 h" in said
    assert "streams.incidents.max_bytes" in said


def test_a_greater_promise_needs_larger_streams(folder):
    change(folder, "retention.yaml", "anomalies_per_s: 100", "anomalies_per_s: 1000")
    assert "at anomalies_per_s 1000, but correlate.yaml" in refusal(CorrelatePolicy, folder)
    assert "at anomalies_per_s 1000, but enrich.yaml" in refusal(EnrichPolicy, folder)
    assert load_with_retention(DetectPolicy, folder)


def test_lines_must_outlive_what_detectors_remember(folder):
    change(folder, "detect.yaml", "snapshot_every: PT30S", "snapshot_every: PT2H")
    assert "streams.logs.max_bytes" in refusal(DetectPolicy, folder)


def test_all_limits_together_fit_into_the_broker():
    limits = (config.max_bytes for config in stream_configs(RetentionPolicy.load(POLICIES).streams))
    buckets = 8 * BUCKET_BYTES
    room = re.search(r"max_file_store: (\d+)GB", (ROOT / "nats/nats.conf").read_text())
    assert sum(limits) + buckets < int(room[1]) * 1024**3


def test_every_message_has_its_stream_and_facts_lie_apart_from_bulk():
    assert {stream_of(kind.subject) for kind in MESSAGES} == set(SUBJECTS)
    bulk = [kind.subject for kind in MESSAGES if stream_of(kind.subject) == "ANOMALIES"]
    assert sorted(bulk) == [
        *("anomaly.detected", "anomaly.digested", "anomaly.enriched"),
        "devices.link_observed",
    ]
    with pytest.raises(LookupError):
        stream_of("incidentsx.created")


def test_a_stream_differs_when_a_release_adds_a_subject_or_the_policy_changes_a_limit():
    [config, *_] = stream_configs(RetentionPolicy.load(POLICIES).streams)
    assert not differ(config, config.evolve(subjects=list(reversed(config.subjects))))
    assert differ(config, config.evolve(subjects=[*config.subjects, "traces.>"]))
    assert differ(config, config.evolve(max_age=config.max_age + 1))
    assert differ(config, config.evolve(max_bytes=config.max_bytes + 1))
    assert differ(config, config.evolve(compression=None))


HEADERS = "NATS/1.0\r\n\r\n"


def stored(message):
    """Bytes that JetStream counts for *message*, published in a batch."""
    headers = {MSG_ID: "x" * 50, BATCH: "x" * 32, PLACE: "100", COMMIT: "1"}
    lines = HEADERS + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return len(message.subject) + len(lines) + len(message.model_dump_json()) + 30


async def test_a_line_and_an_anomaly_take_what_the_check_reckons_with():
    load = Load(2000, None)
    detection = Detection(DetectPolicy.load(POLICIES))
    enrich = EnrichPolicy.load(POLICIES)
    enricher = Enricher(Memory(enrich.health), enrich.severity)
    correlator = Correlator(CorrelatePolicy.load(POLICIES))
    sizes, anomalies = dict.fromkeys(COSTS, 0), 0
    for n in range(load.total):
        line = load.message(n, utc_now())
        sizes["logs"] += stored(line)
        for found in detection.on_line(line.stamped("ingest", utc_now())):
            anomalies += 1
            [enriched] = await enricher(received(found.stamped("detect", utc_now())))
            enriched = enriched.stamped("enrich", utc_now())
            sizes["anomalies"] += stored(found) + stored(enriched)
            for fact in correlator.handle(enriched):
                sizes["incidents"] += stored(fact.stamped("correlate", utc_now()))
    assert anomalies >= load.total / 10
    measured = {
        "logs": sizes["logs"] / load.total,
        "anomalies": sizes["anomalies"] / anomalies,
        "incidents": sizes["incidents"] / anomalies,
    }
    for stream, cost in COSTS.items():
        assert 0.5 * cost < measured[stream] < cost, measured
