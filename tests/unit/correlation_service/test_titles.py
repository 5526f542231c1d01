"""Titles that a watch officer understands: what happened, to what, where and how often."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aiops_core.gist import LONGEST as LONGEST_GIST
from aiops_core.gist import gist, ordinal
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import EnrichedAnomaly, Evidence, IncidentTransitioned, Recurrence
from anomaly_detection.detectors.base import Detected
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.messages import message_of, message_without_cause
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Threshold
from anomaly_detection.samples import Judge, entry_of
from correlation_service.correlator import Correlator
from correlation_service.members import Members
from correlation_service.policy import Wording
from correlation_service.wording import LONGEST, description, fitted, label, title
from tests.conftest import NOON, ROOT, sample
from tests.correlation_cases import POLICY, anomaly, cleared
from tests.log_cases import LOG_DETECTORS

LINES = yaml.safe_load((ROOT / "tests/unit/correlation_service/titles.yaml").read_text())
VAGUE = ("<*>", "Severity", "Errors of", "Unusual activity")


@pytest.fixture
def correlator():
    return Correlator(POLICY)


@pytest.fixture(scope="module")
def judge():
    return Judge(DetectPolicy.load(ROOT / "policies"))


def enriched(finding, cause=None, kind=None):
    """What correlation gets of *finding*."""
    known = replace(
        finding, domain=finding.domain or "system", anomaly_type=kind or finding.anomaly_type
    )
    message = message_of(known, cause) if cause else message_without_cause(known, known.at).message
    return EnrichedAnomaly.model_validate(message.model_dump())


def evidence(of, **more):
    member = Members(POLICY).of(of, of.anomaly_id, Inventory())
    return member.but(label=label(POLICY, of), **more)


def root(**fields):
    return evidence(anomaly(0, fields.pop("device", "sw-1"), **fields))


# -- of lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", LINES, ids=[row["title"] for row in LINES])
def test_a_line_of_the_field_has_a_title_that_says_what_happened(judge, row):
    judged = judge.judge(entry_of(row["line"]))
    assert label(POLICY, enriched(judged.anomaly, judged.entry)) == row["title"]


def test_no_sample_of_a_pack_has_a_vague_or_a_long_title(judge):
    policy = DetectPolicy.load(ROOT / "policies")
    samples = [s for one in policy.packs.loaded for rule in one.rules for s in rule.positive]
    titles = 0
    for line in samples[::5]:
        judged = judge.judge(entry_of(line))
        if judged.anomaly:
            titles += 1
            found = label(POLICY, enriched(judged.anomaly, judged.entry))
            assert len(found) <= LONGEST
            assert judged.anomaly.source.device.casefold() in found.casefold()
            assert not any(word in found for word in VAGUE), found
    assert titles > 400


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"level": "error", "msg": "cannot open chart", "pid": 812}', "cannot open chart"),
        ("pool='tank' vdev=sdc1 vdev_state=DEGRADED", "pool tank, vdev sdc1, vdev_state DEGRADED"),
        ("job 4711 of 0x7f3a failed at 2026-11-30T11:58:07Z", "job of failed"),
        ("cannot read /var/lib/charts/nl.000", "cannot read nl.000"),
        ('GET "/kernel panic - not syncing" failed', "GET … failed"),
        ("mask <*> of <*> is wrong", "mask of is wrong"),
        ("ERROR", ""),
        ("12345 0x1f", ""),
        ("", ""),
    ],
)
def test_a_gist_is_the_devices_own_sentence_without_noise(line, said):
    assert gist(line) == said


@given(st.text(max_size=600))
def test_a_gist_is_short_and_has_one_line(line):
    found = gist(line)
    assert len(found) <= LONGEST_GIST
    assert len(found.splitlines()) <= 1
    assert "<*>" not in found


# -- of what detectors measure --------------------------------------------------------------------


def test_a_metric_beyond_its_limit_is_named_with_value_and_limit():
    rule = {"id": "x", "metric": "*", "above": 90, "for": "PT0S", "repeat_every": "PT10M"}
    judged = {"anomaly_type": "resource_exhaustion", "severity": "high", "score": 0.9}
    detector = ThresholdDetector(
        [Threshold.model_validate(rule | judged | {"domain": "system"})], 9
    )
    reading = sample(97, metric="cpu_percent", unit="%", n=1)
    [found] = detector.observe(reading)
    assert label(POLICY, enriched(found, reading)) == "CPU at 97 % on srv-1 (limit 90)"
    lost = enriched(found, reading, "position_loss")
    assert label(POLICY, lost) == "Position lost: CPU at 97 % on srv-1 (limit 90)"
    attack = enriched(found, reading, "credential_attack")
    assert label(POLICY, attack) == "Password guessing on srv-1"  # a limit of what?


@pytest.mark.parametrize(
    ("case", "kind", "expected"),
    [
        ("new_template", "new_template", "New: app: aa on srv-1"),
        ("rate spike", "log_rate_spike", "app on srv-1 writes 3 times as much as usual"),
        ("rate drop", "log_rate_drop", "srv-1 no longer writes: app: tick"),
        ("error burst", "error_burst", "app on srv-1 writes 8 times as many errors as usual"),
        ("mix", "unusual_mix", "srv-1 writes other lines than usual: app: rare"),
    ],
)
def test_what_is_unusual_about_lines_is_said_in_words(case, kind, expected):
    make, entries, _ = LOG_DETECTORS[case]
    detector = make()
    found = ((f, e) for e in entries for f in detector.observe(e) if isinstance(f, Detected))
    finding, entry = next(found)
    assert label(POLICY, enriched(finding, entry, kind)) == expected


def test_who_is_silent_is_said_with_the_time():
    meta = {"since": "2026-11-30T12:04:05+00:00"}
    silent = root(kind="sender_lost", service="unknown", device="sw-3", meta=meta)
    assert silent.label == "sw-3 is silent since 12:04 UTC"


# -- of incidents ---------------------------------------------------------------------------------


def again(occurrence, cadence="", **more):
    return Recurrence(problem_id="p1", occurrence=occurrence, cadence=cadence, **more)


def test_how_often_it_came_stands_at_the_end():
    shown = root(device="combo", service="logrotate", msg="ALERT exited abnormally with [1]")
    said = "logrotate exits abnormally on combo"
    assert title(shown, 1) == title(shown, 1, recurrence=again(1)) == said
    assert title(shown, 1, recurrence=again(43, "daily at 04:02")) == (
        f"{said}, daily at 04:02 (43rd time)"
    )
    assert title(shown, 1, recurrence=again(2)) == f"{said} (2nd time)"


def test_the_numbers_of_times_are_written_as_a_person_says_them():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 43, 112)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "43rd", "112th")
    ]


def test_further_addresses_parts_and_devices_are_counted():
    attack = root(kind="credential_attack", meta={"peer": "203.0.113.7"})
    assert title(attack, 1, alike=63) == (
        "Password guessing on sw-1 from 203.0.113.7, 63 more addresses"
    )
    port = root(kind="link_down", component="interface Gi1/0/24")
    assert title(port, 3, alike=1) == (
        "Link down: Gi1/0/24 on sw-1, 1 more interface, 2 more devices affected"
    )


def test_the_description_says_what_the_title_does_not():
    shown = root(msg="ERROR pump 3 of 4711 stopped", service="pumpd")
    alone = description({"sw-1": shown}, 1, shown, (), title(shown, 1))
    assert alone.endswith(" At the root: ERROR pump 3 of 4711 stopped")
    whole = root(msg="pump 3 does not answer", service="pumpd")
    assert "At the root" not in description({"sw-1": whole}, 1, whole, (), title(whole, 1))
    before = again(2, previous=NOON, resolved_before="recovered")
    assert "Last time at 2026-06-01 12:00 UTC, ended by recovered." in description(
        {"sw-1": whole}, 1, whole, (), recurrence=before
    )


def test_a_place_that_does_not_exist_is_refused_by_name():
    with pytest.raises(ValidationError, match="devcie is no place"):
        Wording.model_validate({"category": "x", "title": "{what} on {devcie}"})


NAMES = st.text(min_size=1, max_size=80).filter(lambda text: text.strip() != "")
WORDS = st.sampled_from(
    [
        "<*>",
        "link down",
        "0x7f",
        "[12]",
        "a=b",
        "ERROR",
        ": ",
        "\n",
        "…",
        "x" * 90,
        "pump 3",
        "(",
        '"',
    ]
)
MESSAGES = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=12).map(" ".join))


@st.composite
def anomalies(draw):
    names = st.one_of(NAMES, st.sampled_from(["sw-1", "Bridge PC 1", "x" * 200]))
    fields = {
        "device": draw(names),
        "kind": draw(st.sampled_from([*POLICY.wording, "made_up"])),
        "service": draw(st.one_of(names, st.sampled_from(["unknown", "sshd", "LINK"]))),
        "component": draw(st.one_of(st.just(""), names, st.just("interface 7, vlan <*>"))),
        "meta": {"peer": draw(st.one_of(st.just(""), names))},
        "msg": draw(MESSAGES),
    }
    if draw(st.booleans()):
        fields |= {"metric": draw(names), "value": draw(st.floats(allow_nan=False))}
    return fields


@given(
    anomalies(),
    st.integers(1, 2000),
    st.integers(0, 64),
    st.sampled_from(["", "silent"]),
    st.integers(0, 9),
    st.booleans(),
    st.one_of(st.none(), st.builds(again, st.integers(1, 10**9), st.text(max_size=80))),
)
def test_a_title_is_one_short_line_that_names_the_device(
    fields, devices, alike, silent, flaps, is_list, recurrence
):
    shown = root(**fields)
    found = title(shown, devices, silent and shown.device, flaps, is_list, alike, recurrence)
    assert 0 < len(found) <= LONGEST
    assert found.splitlines() == [found]
    assert "<*>" not in found
    assert "unknown" not in found or "unknown" in str(fields | {"service": ""})
    name = " ".join(shown.device.replace("<*>", "…").split())
    assert (name if len(name) <= 40 else name[:39]) in found


def test_a_title_without_a_label_still_says_what_is_known():
    bare: Evidence = root(kind="disk_full").but(label="")
    assert title(bare, 1) == "disk full on sw-1"


def test_what_is_too_long_is_cut_before_the_device():
    long = "the quick pump of the upper deck does not answer any more since the storm of last week"
    cut = fitted(f"{long} on sw-1", "sw-1", 60)
    assert cut == "the quick pump of the upper deck does not answer… on sw-1"


# -- which anomaly gives the title ----------------------------------------------------------------


def facts(correlator, *history):
    return [fact for message in history for fact in correlator.handle(message)]


def test_the_title_is_of_the_type_that_means_something_not_of_the_first_one(correlator):
    facts(correlator, anomaly(0, kind="log_error"), anomaly(1, kind="service_error"))
    facts(correlator, anomaly(2, kind="log_error", msg="x y z"))
    specific = anomaly(3, kind="link_down", component="interface Gi1/0/24")
    last = facts(correlator, specific)[-1]
    assert last.title == "Link down: Gi1/0/24 on srv-1"
    assert (last.category, last.root_cause.anomaly) == ("network", specific.anomaly_id)


def test_of_one_type_the_title_names_the_part_that_only_a_later_line_knows(correlator):
    facts(correlator, anomaly(0, kind="link_down"))
    later = anomaly(1, kind="link_down", component="interface Gi1/0/24", severity="low")
    last = facts(correlator, later)[-1]
    assert last.title == "Link down: Gi1/0/24 on srv-1"
    assert last.root_cause.anomaly == later.anomaly_id


def test_the_part_is_named_after_a_kill_as_before():
    history = [anomaly(n, kind="link_down", component=part) for n, part in enumerate(("", "psu 2"))]
    undisturbed, reborn = Correlator(POLICY), Correlator(POLICY)
    for fact in facts(undisturbed, *history):
        reborn.evolve(fact)
    late = anomaly(9, kind="disk_full")
    assert facts(reborn, late)[-1].title == facts(undisturbed, late)[-1].title


# -- severity -------------------------------------------------------------------------------------


def judged(change, incident, to_status):
    return IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=incident,
        change=change,
        kind=to_status,
        from_status="open",
        to_status=to_status,
        actor="mate",
    )


ATTACK = {"kind": "credential_attack", "severity": "high", "meta": {"peer": "203.0.113.7"}}


def test_an_attack_that_is_over_is_as_severe_as_it_was_until_somebody_has_seen_it(correlator):
    [first] = correlator.handle(anomaly(0, **ATTACK))
    assert correlator.handle(cleared(5, "srv-1", "credential_attack"))[0].severity == "high"
    correlator.handle(judged(1, first.id, "ack"))
    correlator.handle(anomaly(6, **ATTACK))
    assert correlator.handle(cleared(9, "srv-1", "credential_attack"))[0].severity == "low"


def test_a_breakdown_that_is_over_is_no_longer_severe(correlator):
    correlator.handle(anomaly(0, kind="link_down", severity="high"))
    assert correlator.handle(cleared(5, "srv-1", "link_down"))[0].severity == "low"
