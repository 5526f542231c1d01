"""Samples and field cases -> scores."""

import json
from datetime import UTC, datetime

from typer.testing import CliRunner

from aiops_cli import app
from aiops_lab.evaluation.packs.cases import dated, judge_folder
from aiops_lab.evaluation.packs.report import plot
from aiops_lab.evaluation.packs.scores import judge_packs, near, total
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT

POLICY = DetectPolicy.load(ROOT / "policies")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FEW = [one for one in POLICY.packs.loaded if one.pack.id in ("generic", "linux-auth")]
SMALL = POLICY.using(Packs.of(FEW))


def test_a_pack_is_scored_with_and_without_its_own_rules(tmp_path):
    judged = {one.pack: one for one in judge_packs(SMALL)}
    auth = judged["linux-auth"]
    assert auth.full.named == auth.full.faults > 10
    assert auth.without.named < auth.full.named
    assert len(auth.missed) == auth.without.faults - auth.without.named
    whole = total(one.full for one in judged.values())
    assert whole.faults == sum(one.full.faults for one in judged.values())
    assert plot(list(judged.values()), tmp_path).stat().st_size > 1000


def test_types_that_are_taken_for_each_other_are_near():
    assert near("link_down", {"link_degraded"})
    assert not near("link_down", {"credential_attack"})


def test_times_in_field_cases_are_around_now():
    assert dated("@{bsd:-60} @{epoch:0}", NOW) == f"Nov 30 11:59:00 {int(NOW.timestamp())}"


def test_a_folder_of_cases_is_judged_without_a_fleet(tmp_path):
    rows = [
        {"case": "fan", "device": ["sw-1"], "types": ["hardware_failure"]},
        {"case": "calm", "incidents": 0},
        {"case": "other"},
    ]
    (tmp_path / "expected.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "fan.in").write_text("@{bsd:-9} sw-1 envd: fan 2 failed\n")
    (tmp_path / "calm.in").write_text("@{bsd:-9} sw-1 envd: fan 2 is ok\n")
    fan, calm = judge_folder(tmp_path, SMALL)
    assert (fan.right, fan.said) == (True, "hardware_failure [high] on sw-1")
    assert (calm.right, calm.quiet, calm.said) == (True, True, "nothing")


def test_the_command_writes_all_numbers(tmp_path):
    (tmp_path / "expected.jsonl").write_text(json.dumps({"case": "calm", "incidents": 0}))
    (tmp_path / "calm.in").write_text("all is well\n")
    file = tmp_path / "numbers.json"
    done = CliRunner().invoke(app, ["eval", "packs", str(tmp_path), "--json", str(file)])
    assert done.exit_code == 0, done.output
    numbers = json.loads(file.read_text())
    assert numbers["total"]["full"]["recall"] > 0.95
    assert numbers["cases"][str(tmp_path)][0]["right"]
