"""Scores of groupings, runs that are invented, and the command that brings both together."""

import json

import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.correlation import strangers
from aiops_lab.evaluation.correlation.scores import (
    LabelledAnomaly,
    adjusted_rand,
    judge,
    main_incident,
    score,
)
from aiops_lab.simulator.inventory import SimulatedShip
from aiops_lab.simulator.other_ships import other_ship, other_voyage
from tests.conftest import ROOT
from tests.correlation_cases import POLICY


def labelled(*pairs):
    return [LabelledAnomaly(f"a{n}", fault, incident) for n, (fault, incident) in enumerate(pairs)]


def test_a_perfect_grouping_scores_one_and_counts_the_roots():
    anomalies = labelled(("f", "i"), ("f", "i"), ("g", "j"), (None, "k"))
    scores = score(anomalies, {"f": "d0", "g": "d9"}, {"i": "d0", "j": "d2"})
    assert (scores.precision, scores.recall, scores.f1, scores.ari) == (1, 1, 1, 1)
    assert (scores.roots, scores.faults, scores.missed) == (1, 2, 0)
    assert scores.reduction == pytest.approx(1 - 3 / 4)


def test_two_faults_in_one_incident_cost_precision_and_one_of_them_is_missed():
    anomalies = labelled(*[("f", "i")] * 3, ("g", "i"))
    scores = score(anomalies, {"f": "d0", "g": "d3"}, {"i": "d0"})
    assert (scores.precision, scores.recall) == (3 / 6, 1)
    assert (scores.missed, scores.roots) == (1, 1)


def test_a_fault_in_two_incidents_costs_recall():
    anomalies = labelled(*[("f", "i")] * 2, *[("f", "j")] * 2)
    assert score(anomalies, {"f": "d0"}, {}).recall == 2 / 6


def test_what_a_rule_hid_is_alone():
    anomalies = labelled(("f", "i"), ("f", None), ("f", None))
    assert score(anomalies, {"f": "d0"}, {}).recall == 0
    assert main_incident("f", anomalies) == "i"


def test_adjusted_rand_is_the_published_one():
    """Hubert and Arabie: (sum - expected) / (mean - expected), of a table worked out by hand."""
    truth, found = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]
    assert adjusted_rand(truth, found) == pytest.approx((2 - 1.2) / (4.5 - 1.2))


@pytest.mark.parametrize("seed", range(6))
def test_strange_ships_are_grouped_well_enough(seed):
    run = strangers.run(seed)
    assert run.messages == strangers.run(seed).messages
    scores = judge(run, POLICY).scores
    assert scores.missed == 0
    assert scores.f1 >= 0.8 and scores.top1 >= 0.8


@pytest.mark.parametrize("seed", range(5))
def test_other_ships_are_ships_and_their_faults_are_independent(seed):
    ship, voyage = other_ship(seed), other_voyage(seed)
    assert isinstance(ship, SimulatedShip) and len(ship.devices) >= 20
    roots = [episode.root_device for episode in voyage.episodes]
    assert len(roots) == len(set(roots)) >= 2
    assert all(
        one not in voyage.ship.below(other) for one in roots for other in roots if one != other
    )


def test_the_command_writes_numbers_and_pictures(tmp_path):
    target = tmp_path / "scores.json"
    options = ["--scenario", "strange-ships", "--seeds", "1", "--policies", str(ROOT / "policies")]
    more = ["--json", str(target), "--plots", str(tmp_path)]
    result = CliRunner().invoke(app, ["eval", "correlate", *options, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    numbers = json.loads(target.read_text())["strange-ships"]["mean"]
    assert numbers["missed"] == 0 and numbers["root_top1"] >= 0.8
    assert [path.stat().st_size > 10_000 for path in tmp_path.glob("*.png")] == [True]


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("aiops_lab.commands.eval.judge", lambda *_: pytest.fail("worked"))
    target = tmp_path / "missing" / "scores.json"
    with pytest.raises(Misconfigured, match="cannot be written"):
        CliRunner().invoke(
            app, ["eval", "correlate", "--json", str(target)], catch_exceptions=False
        )


def test_a_scenario_that_nobody_knows_is_refused_in_one_line():
    with pytest.raises(Misconfigured, match="--scenario nonsense: there are"):
        CliRunner().invoke(
            app, ["eval", "correlate", "--scenario", "nonsense"], catch_exceptions=False
        )
