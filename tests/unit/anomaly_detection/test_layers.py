"""Layers of detect.yaml -> who is judged by which detector, and why."""

import json
from datetime import timedelta
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

from aiops_cli import app
from aiops_core.errors import Misconfigured
from aiops_core.models import Domain
from anomaly_detection.detection import Detection
from anomaly_detection.layers import DetectorTuning, LayerTarget
from anomaly_detection.packs import load_packs
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import DetectorName
from tests.conftest import ROOT, line, sample

TEXT = (ROOT / "policies" / DetectPolicy.file).read_text()
FIELDS = yaml.safe_load(TEXT)
PACKS = load_packs(ROOT / "policies")
SENDER = LayerTarget("s1", "app", "srv-1")
PANIC = "Kernel panic - not syncing"


def policy(*layers, polls=()):
    named = [{"id": f"l{n}", **layer} for n, layer in enumerate(layers)]
    stated = FIELDS | {"layers": named, "polls": list(polls)}
    return DetectPolicy.model_validate(stated).using(PACKS)


def rate_of(sender=SENDER, *layers):
    return policy(*layers).resolver().tuning("rate", sender)


def off(**scope):
    return {"detectors": {"*": {"enabled": False}}, **scope}


class TestLayers:
    def test_without_any_everything_is_as_built(self):
        assert rate_of() == DetectorTuning(enabled=True, sensitivity="normal", warm_up=None)

    def test_the_later_layer_wins_key_by_key(self):
        first = {"detectors": {"*": {"sensitivity": "low", "warm_up": "PT1H"}}}
        later = {"detectors": {"rate": {"sensitivity": "high"}}}
        assert rate_of(SENDER, first, later) == DetectorTuning(
            sensitivity="high", warm_up=timedelta(hours=1)
        )

    def test_within_a_layer_a_name_beats_the_star(self):
        both = {"detectors": {"rate": {"enabled": True}, "*": {"enabled": False}}}
        assert rate_of(SENDER, both).enabled

    @pytest.mark.parametrize(
        "scope",
        [
            {"ships": ["s*"]},
            {"services": ["web", "app"]},
            {"device_id": ["SRV-?"]},
            {"domains": ["app"]},
            {"ships": ["s1"], "device_id": ["srv-1"]},
        ],
    )
    def test_a_layer_fits_by_what_it_names(self, scope):
        assert not rate_of(SENDER, off(**scope)).enabled

    @pytest.mark.parametrize(
        "scope",
        [{"ships": ["t*"]}, {"services": ["web"]}, {"domains": ["net"]}, {"metrics": ["cpu*"]}],
    )
    def test_and_not_where_one_of_its_names_fails(self, scope):
        assert rate_of(SENDER, off(**{"device_id": ["srv-1"]} | scope)).enabled

    def test_the_more_eager_the_less_unusual_something_must_be(self):
        low, normal, high = (DetectorTuning(sensitivity=s).scale for s in ("low", "normal", "high"))
        assert low > normal == 1 > high

    def test_a_poll_names_its_domain_and_its_detectors(self):
        poll = {"name": "p", "query": "up", "interval": "PT1M", "domain": "net"}
        layers = policy(polls=[poll | {"detectors": ["threshold"]}]).resolver()
        sender = LayerTarget("s1", "app", "srv-1", "p")
        assert layers.domain(sender) == (Domain.NET, ("polls", 0, "domain"))
        assert layers.tuning("threshold", sender).enabled
        assert not layers.tuning("burst", sender).enabled

    @pytest.mark.parametrize(
        ("old", "new", "mistake"),
        [
            ("metric: {enabled: false}}", "metrik: {enabled: false}}", "layers.1.detectors"),
            ("sensitivity: normal}", "sensitivity: extreme}", "layers.0.detectors.*.sensitivity"),
            ('"*": {enabled: true,', "burst: {enabled: true,", "burst does not learn"),
            ("  - id: courses\n", "  - id: snr\n", "used twice: snr"),
        ],
    )
    def test_a_mistake_is_refused_with_its_place(self, tmp_path, old, new, mistake):
        assert old in TEXT
        (tmp_path / DetectPolicy.file).write_text(TEXT.replace(old, new))
        with pytest.raises(Misconfigured) as refused:
            DetectPolicy.load(tmp_path)
        assert mistake in str(refused.value)

    def test_every_detector_of_production_can_be_named(self):
        detection = Detection(policy())
        names = {detector.name for detector in detection.detectors}
        assert names | {"level"} == set(get_args(DetectorName))


class TestDetection:
    async def test_who_is_switched_off_on_one_device_still_judges_the_others(self):
        detection = Detection(policy(off(device_id=["lab-*"])))
        assert (
            detection.on_line(line(PANIC, host="lab-1", level="critical", service="kernel")) == []
        )
        [anomaly] = detection.on_line(line(PANIC, host="srv-1", service="kernel"))
        assert anomaly.anomaly_type == "kernel_panic"

    async def test_one_ship_can_be_told_apart(self):
        only = {"ships": ["s2"], "detectors": {"threshold": {"enabled": False}}}
        detection = Detection(policy(only))
        told = [
            len(detection.on_sample(sample(99, n=5 * n, ship_id=ship)))
            for ship in ("s1", "s2")
            for n in range(6)
        ]
        assert (sum(told[:6]), sum(told[6:])) == (1, 0)

    async def test_the_anomalies_of_a_poll_belong_to_its_domain(self):
        poll = {"name": "cpu_percent", "query": "up", "interval": "PT1M", "domain": "comms"}
        detection = Detection(policy(polls=[poll]))
        answers = [detection.on_sample(sample(99, n=5 * n)) for n in range(4)]
        [anomaly] = [a for answer in answers for a in answer]
        assert anomaly.domain is Domain.COMMS


def show(*words):
    done = CliRunner().invoke(app, ["policy", "show", *words, "--json"])
    assert done.exit_code == 0, done.output
    return {row["key"]: row for row in json.loads(done.output)}


def line_of(text):
    return f"detect.yaml:{TEXT[: TEXT.index(text)].count(chr(10)) + 1}"


class TestShow:
    def test_each_value_in_force_says_where_it_comes_from(self):
        rows = show("detect", "--service", "sshd", "--device-id", "gw-1")
        assert rows["domain"]["value"] == "security"
        assert rows["domain"]["source"] == line_of("  - {domain: security")
        assert rows["pattern.enabled"]["source"] == line_of("  - {id: everybody")
        assert "pattern.warm_up" not in rows
        templates = DetectPolicy.load(ROOT / "policies").templates
        assert rows["rate.warm_up"]["value"] == str(templates.rate.warm_up)
        source = rows["patterns.linux-auth/ssh-probe"]["source"]
        text = (ROOT / "policies/packs/linux-auth.yaml").read_text()
        number = text[: text.index("- id: ssh-probe")].count(chr(10)) + 1
        assert source == f"packs/linux-auth.yaml:{number}"

    def test_a_metric_is_judged_by_its_limits_and_not_by_rules_about_lines(self):
        rows = show("detect", "--metric", "implied_speed_knots")
        assert rows["metric.enabled"]["value"] == "False"
        assert [key for key in rows if key.startswith(("patterns.", "thresholds."))] == [
            "thresholds.position-jump"
        ]

    def test_without_a_sender_the_whole_file_is_shown(self):
        rows = show("retention")
        assert all(row["source"].startswith("retention.yaml:") for row in rows.values())
        assert show("detect", "--key", "series_kept")["series_kept"]["value"] == "20000"

    def test_a_policy_that_is_none_is_named(self):
        done = CliRunner().invoke(app, ["policy", "show", "weather"])
        assert isinstance(done.exception, Misconfigured)
        assert "there are correlate.yaml, detect.yaml" in str(done.exception)
