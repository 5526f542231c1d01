"""The NAB score against its definition: what is published about it, and small series by hand."""

from datetime import timedelta

import pytest

from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.detection.nab import (
    NabSeries,
    Profile,
    load,
    load_profiles,
    penalty,
    reward,
    scaled_sigmoid,
    score,
    tally,
)
from tests.conftest import NOON, ROOT

STANDARD = Profile("standard", tp=1.0, fp=0.11, fn=1.0)
LOW_FN = Profile("low FN", tp=1.0, fp=0.11, fn=2.0)
SHARED = ROOT.parent / "shared" / "data" / "nab"


def series(rows=1000, windows=((400, 499), (700, 799))):
    times = [NOON + timedelta(minutes=5 * n) for n in range(rows)]
    return NabSeries("made/up.csv", times, [0.0] * rows, list(windows))


def score_of(alarms, profile=STANDARD, **fields):
    one = series(**fields)
    return score([one], [tally(one, alarms)], profile)


class TestScale:
    @pytest.mark.parametrize("profile", [STANDARD, LOW_FN])
    def test_silence_is_0_and_the_first_row_of_every_window_is_100(self, profile):
        assert score_of([], profile) == 0
        assert score_of([400, 700], profile) == pytest.approx(100)

    @pytest.mark.skipif(not SHARED.is_dir(), reason="the NAB series are not beside the checkout")
    def test_the_same_on_the_published_windows_and_profiles(self):
        corpus = load(SHARED)
        for profile in load_profiles(SHARED):
            silent = [tally(one, []) for one in corpus]
            perfect = [tally(one, [first for first, _ in one.windows]) for one in corpus]
            assert score(corpus, silent, profile) == 0
            assert score(corpus, perfect, profile) == pytest.approx(100)

    def test_a_corpus_without_windows_has_nothing_to_score(self):
        assert score_of([], windows=()) == 0


class TestWindows:
    def test_an_early_alarm_is_worth_more_and_the_last_row_nearly_nothing(self):
        worth = [reward(series(), 0, row) for row in (400, 450, 499)]
        assert worth == sorted(worth, reverse=True)
        assert worth[0] == pytest.approx(1)
        assert 0 < worth[2] < 0.03

    def test_only_the_first_alarm_in_a_window_counts(self):
        assert score_of([420, 430, 440, 499]) == score_of([420])

    def test_both_rows_at_its_edges_are_in_the_window(self):
        assert dict(tally(series(), [400, 799]).found) == {0: 400, 1: 799}

    def test_missing_a_window_costs_more_where_the_profile_says_so(self):
        half = [400]
        assert score_of(half) == pytest.approx(50)
        assert score_of(half, LOW_FN) == pytest.approx(50)
        assert score_of([400, 950]) > score_of([400, 950], Profile("dear", 1.0, 0.22, 1.0))


class TestFalseAlarms:
    def test_before_any_window_one_costs_all(self):
        assert penalty(series(), 399) == -1

    def test_shortly_behind_a_window_one_is_nearly_forgiven(self):
        costs = [penalty(series(), row) for row in (500, 520, 600, 697)]
        assert costs == sorted(costs, reverse=True)
        assert -0.05 < costs[0] < 0
        assert penalty(series(windows=((400, 409),)), 440) == -1

    def test_one_costs_the_weight_of_the_profile(self):
        # 2 windows: from silence (-2) to perfection (+2) are 4 points
        assert score_of([400, 700, 399]) == pytest.approx(100 - 100 * 0.11 / 4)

    def test_every_single_one_costs(self):
        assert len(tally(series(), range(200, 210)).false) == 10


class TestLearning:
    def test_what_is_said_in_the_first_15_percent_counts_nothing(self):
        assert series().probation == 150
        assert tally(series(), range(150)).false == []
        assert tally(series(), [150]).false == [150]

    def test_it_is_750_rows_at_most(self):
        assert series(rows=20_000).probation == 750

    def test_the_sigmoid_is_that_of_the_paper(self):
        assert scaled_sigmoid(0) == 0
        assert scaled_sigmoid(-1) == pytest.approx(0.98661, abs=1e-5)
        assert scaled_sigmoid(1) == pytest.approx(-0.98661, abs=1e-5)
        assert scaled_sigmoid(3.1) == -1


class TestFiles:
    def corpus(self, folder, rows="2020-01-01 00:00:00,1\n", windows="[]", name="a/b.csv"):
        (folder / "a").mkdir()
        (folder / "a" / "b.csv").write_text("timestamp,value\n" + rows)
        (folder / "windows.json").write_text(f'{{"{name}": {windows}}}')
        return folder

    def test_a_series_knows_its_rows_and_windows(self, tmp_path):
        rows = "".join(f"2020-01-01 00:0{n}:00,{n}\n" for n in range(5))
        windows = '[["2020-01-01 00:01:00.000000", "2020-01-01 00:03:00.000000"]]'
        (one,) = load(self.corpus(tmp_path, rows, windows))
        assert (one.name, one.category) == ("a/b.csv", "a")
        assert (list(one.values), list(one.windows)) == ([0, 1, 2, 3, 4], [(1, 3)])

    @pytest.mark.parametrize(
        ("change", "mistake"),
        [
            ({"rows": "yesterday,1\n"}, "columns timestamp and value"),
            ({"rows": "2020-01-01 00:00:00,much\n"}, "columns timestamp and value"),
            ({"name": "a/c.csv"}, "no entry a/b.csv"),
            ({"windows": '[["2021-01-01", "2021-01-02"]]'}, "window from 2021-01-01"),
            ({"windows": "["}, "cannot be read"),
        ],
    )
    def test_a_mistake_is_named_in_one_line(self, tmp_path, change, mistake):
        with pytest.raises(Misconfigured, match=mistake) as refused:
            load(self.corpus(tmp_path, **change))
        assert "\n" not in str(refused.value)

    def test_an_empty_folder_is_a_mistake(self, tmp_path):
        (tmp_path / "windows.json").write_text("{}")
        with pytest.raises(Misconfigured, match="no series found"):
            load(tmp_path)
