"""``aiops eval detect`` on two small series: a labelled spike, and noise."""

import json
from datetime import timedelta
from random import Random

import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.detection.nab import load, load_profiles
from aiops_lab.evaluation.detection.report import measures, scores
from aiops_lab.evaluation.detection.run import (
    FIXED,
    THRESHOLDS,
    DetectedSeries,
    Results,
    watch,
    with_threshold,
)
from anomaly_detection.policy import DetectPolicy
from tests.conftest import NOON, ROOT

POLICY = DetectPolicy.load(ROOT / "policies")
ROWS, SPIKE, WINDOW = 500, 400, (390, 420)


def at(row):
    return f"{NOON + timedelta(minutes=5 * row):%Y-%m-%d %H:%M:%S}"


def write(folder, name, values):
    rows = "".join(f"{at(row)},{value}\n" for row, value in enumerate(values))
    (folder / name).write_text("timestamp,value\n" + rows)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "made").mkdir()
    values = [Random(row).gauss(50, 1) for row in range(ROWS)]
    write(tmp_path, "made/calm.csv", values)
    values[SPIKE] = 500
    write(tmp_path, "made/spike.csv", values)
    windows = [[at(WINDOW[0]), at(WINDOW[1])]]
    labels = {"made/calm.csv": [], "made/spike.csv": windows}
    costs = {"CostMatrix": {"tpWeight": 1.0, "fpWeight": 0.11, "fnWeight": 1.0}}
    (tmp_path / "windows.json").write_text(json.dumps(labels))
    (tmp_path / "profiles.json").write_text(json.dumps({"standard": costs}))
    return tmp_path


def evaluate(*arguments):
    return CliRunner().invoke(app, ["eval", "detect", *map(str, arguments)])


def test_scores_measures_reasons_and_pictures(corpus, tmp_path):
    out, plots = tmp_path / "out.json", tmp_path / "plots"
    policies = ROOT / "policies"
    done = evaluate("--nab", corpus, "--policies", policies, "--json", out, "--plots", plots)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())["nab"]
    (standard,) = found["scores"]
    assert standard["fixed"] > 50
    calm, spike = found["series"]
    assert (calm["name"], calm["alarms"]) == ("made/calm.csv", [])
    assert [alarm["row"] for alarm in spike["alarms"]] == [SPIKE]
    assert "500" in spike["alarms"][0]["reason"]
    assert found["measures"][-1]["recall"] == 1
    assert "standard" in done.output
    for name in ("calm", "spike"):
        assert (plots / "made" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_none_is_refused_in_one_line(tmp_path):
    done = evaluate("--nab", tmp_path, "--policies", ROOT / "policies")
    assert isinstance(done.exception, Misconfigured)
    assert str(done.exception).endswith("windows.json: cannot be read: No such file or directory")


def test_the_score_of_a_reading_is_the_one_that_production_tells_from(corpus):
    _, series = load(corpus)
    told = watch(POLICY, series)
    assert list(told.alarms) == [SPIKE]
    assert told.scores[SPIKE] > FIXED
    assert max(told.scores[series.probation : SPIKE]) < FIXED


def test_a_threshold_above_the_score_of_an_alarm_hides_it(corpus):
    _, series = load(corpus)
    score = watch(POLICY, series).scores[SPIKE]
    assert watch(with_threshold(POLICY, score - 0.01), series).alarms
    assert not watch(with_threshold(POLICY, score + 0.01), series).alarms


def results(corpus, alarms):
    """Made up: the same *alarms* (rows of spike.csv), by threshold."""
    series = load(corpus)
    silent = {each: DetectedSeries([], [], []) for each in THRESHOLDS}
    return Results(
        series,
        [
            silent,
            silent | {t: DetectedSeries(rows, [""] * len(rows), []) for t, rows in alarms.items()},
        ],
    )


def test_cross_validation_does_not_see_the_series_that_it_scores(corpus):
    (profile,) = load_profiles(corpus)
    only_at_low = results(corpus, {THRESHOLDS[0]: [WINDOW[0]]})
    assert only_at_low.best(profile) == THRESHOLDS[0]
    assert only_at_low.best(profile, "made/spike.csv") == FIXED
    assert only_at_low.cross_validated(profile, by_category=False) == 0


def test_measures_count_windows_false_alarms_and_delay(corpus):
    middle = sum(WINDOW) // 2
    found = measures(results(corpus, {FIXED: [200, middle]}))
    assert [(m.name, m.series, m.windows, m.found, m.false_alarms) for m in found] == [
        ("made", 2, 1, 1, 1),
        ("all", 2, 1, 1, 1),
    ]
    assert found[0].delay == 0.5
    assert found[0].per_1000 == pytest.approx(1000 / (2 * ROWS - 2 * 75))
    (standard,) = scores(results(corpus, {FIXED: [WINDOW[0]]}), load_profiles(corpus))
    assert standard.fixed == pytest.approx(100)
