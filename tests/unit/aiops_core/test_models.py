"""The vocabulary: what is accepted, what is refused, what is derived."""

import json
import pickle
from datetime import datetime, timedelta, timezone
from uuid import NAMESPACE_OID, uuid5

import pytest
from pydantic import ValidationError

from aiops_core.models import (
    BY_SUBJECT,
    MESSAGES,
    VERSION,
    AnomalyContext,
    AnomalyDetected,
    Device,
    EnrichedAnomaly,
    Incident,
    LogEntry,
    Record,
    Severity,
    derived_id,
)
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
from incident_api.devices.import_rules import NewDevice
from incident_api.folding import StoredIncident
from tests.conftest import NOON, line, sample
from tests.incident_cases import enriched


def anomaly(**fields):
    base = {
        "tracking_id": "t1",
        "ship_id": "s1",
        "ts": NOON,
        "domain": "net",
        "anomaly_type": "link_down",
        "service": "snmpd",
        "host": "sw-1",
        "detector": "pattern",
        "score": 0.9,
        "severity": "high",
        "msg": "port 3 down",
    }
    return AnomalyDetected.model_validate(base | fields, extra="forbid")


def test_every_subject_has_one_class():
    assert len(BY_SUBJECT) == len(MESSAGES)
    assert {s.split(".")[0] for s in BY_SUBJECT} == {
        "logs", "metrics", "anomaly", "devices", "incidents", "ops", "actions",
    }  # fmt: skip


def test_severities_are_ordered_and_compare_with_their_names():
    assert max(Severity.HIGH, Severity.CRITICAL, Severity.LOW) == "critical"
    assert sorted(Severity) == ["low", "medium", "high", "critical"]
    assert Severity.LOW < "medium" <= Severity.MEDIUM and Severity.HIGH >= "high"
    with pytest.raises(ValueError, match="awful"):
        _ = Severity.LOW > "awful"


def test_times_become_utc_and_naive_ones_are_refused():
    there = datetime(2026, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert line("x", ts=there).ts == NOON and line("x", ts=there).ts.utcoffset() == timedelta(0)
    with pytest.raises(ValidationError, match="timezone"):
        line("x", ts=datetime(2026, 6, 1))  # noqa: DTZ001


def every_kind(base=Record):
    for kind in base.__subclasses__():
        yield kind
        yield from every_kind(kind)


def test_a_field_of_a_later_minor_version_is_dropped_wherever_it_stands():
    later = enriched().model_dump(mode="json") | {"schema_version": "3.7", "zone": {"a": [1]}}
    later["context"] |= {"zone": 1, "device": {"id": "sw-1", "zone": "bow"}}
    read = EnrichedAnomaly.model_validate_json(json.dumps(later))
    assert read == enriched(context={"device": {"id": "sw-1"}})
    assert read.schema_version == VERSION and "zone" not in read.model_dump_json()


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize(
    "version", ["4.0", "2.9", "13.0", "3", "3.", "3.x", "", 3.0, None, ["3.0"]]
)
def test_an_unknown_major_version_says_so_first(kind, version):
    with pytest.raises(ValidationError) as told:
        kind.model_validate_json(json.dumps({"schema_version": version}))
    first = told.value.errors()[0]
    assert first["loc"] == ("schema_version",)
    said = f"version {str(version)!r} is of another release, this one reads 3.x"
    assert first["msg"] == f"Value error, {said}"


def test_who_writes_a_message_cannot_misspell_a_field():
    with pytest.raises(ValidationError, match="surprise"):
        anomaly().derive(EnrichedAnomaly, **vars(anomaly()) | {"surprise": 1})


def test_of_all_records_only_what_people_write_refuses_unknown_fields():
    kinds = set(every_kind())
    assert {Device, Silence, LinkOutage, StoredIncident} <= kinds  # of all packages
    assert [kind for kind in kinds if kind.model_config["extra"] == "forbid"] == [NewDevice]


@pytest.mark.parametrize(
    "wrong",
    [{"score": 1.5}, {"severity": "awful"}, {"domain": "sea"}, {"tracking_id": ""}, {"ts": "noon"}],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        anomaly(**wrong)


def test_a_sample_is_a_finite_number():
    with pytest.raises(ValidationError):
        sample(float("nan"))


def test_messages_are_frozen():
    with pytest.raises(ValidationError):
        anomaly().score = 0.1


def test_derive_carries_the_cause_and_its_stages():
    cause = anomaly(stages={"ingest": NOON})
    effect = cause.derive(EnrichedAnomaly, **cause.model_dump(exclude={"schema_version"}))
    assert (effect.tracking_id, effect.stages) == ("t1", {"ingest": NOON})


def test_a_record_of_valid_fields_is_as_if_they_had_been_validated():
    cause = anomaly(stages={"ingest": NOON}, meta={"peer": "10.0.0.9"})
    added = {"context": AnomalyContext(), "severity_reason": "so", "tags": ("new",)}
    made = EnrichedAnomaly.of_valid(cause, severity=Severity.LOW, **added)
    validated = EnrichedAnomaly.model_validate(vars(cause) | {"severity": "low"} | added)
    assert made == validated and made.model_dump_json() == validated.model_dump_json()
    assert made.model_fields_set == validated.model_fields_set
    assert made.model_copy() == made and pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(ValidationError):
        made.score = 0.1


def test_a_record_with_other_values_is_a_copy():
    found = anomaly()
    changed = found.but(device_id="d7", severity=Severity.LOW)
    expected = found.model_copy(update={"device_id": "d7", "severity": Severity.LOW})
    assert changed == expected != found
    assert changed.model_fields_set == expected.model_fields_set
    assert changed.model_dump_json() == expected.model_dump_json()


def test_a_finding_keeps_its_identity_from_detection_to_correlation():
    found = anomaly()
    enriched = EnrichedAnomaly.model_validate(found.model_dump())
    assert enriched.anomaly_id == found.anomaly_id
    assert found.anomaly_id != anomaly(detector="level").anomaly_id


@pytest.mark.parametrize("cause", [("",), ("a", "bc"), ("Brücke", "x" * 500)])
def test_a_derived_id_is_the_uuid5_of_its_parts(cause):
    assert derived_id(*cause) == str(uuid5(NAMESPACE_OID, "\x1f".join(cause)))


def test_derived_ids_depend_on_every_part_and_its_place():
    assert derived_id("a", "bc") == derived_id("a", "bc") != derived_id("ab", "c")


def test_the_host_stands_in_for_an_unknown_device():
    assert (anomaly().device, anomaly(device_id="d7").device) == ("sw-1", "d7")


def test_stamping_an_incident_stamps_its_evidence():
    found = anomaly()
    evidence = {k: getattr(found, k) for k in (
        "anomaly_id", "tracking_id", "ts", "domain", "anomaly_type", "host", "service",
        "severity", "score", "msg",
    )}  # fmt: skip
    incident = Incident(
        tracking_id="t1", ship_id="s1", ts=NOON, id="i1", title="t", severity="high",
        domain="net", first_seen=NOON, last_seen=NOON, created_at=NOON, updated_at=NOON,
        evidence=[evidence],
    ).stamped("correlate", NOON)  # fmt: skip
    assert incident.stages == incident.evidence[0].stages == {"correlate": NOON}


def test_json_round_trip():
    entry = LogEntry.model_validate_json(line("x", labels={"a": "b"}).model_dump_json())
    assert entry == line("x", labels={"a": "b"})
