"""PromQL without a server: what is surely wrong, where; and the times of polls."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.errors import Misconfigured
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.poller import slot
from anomaly_detection.polls import mistake
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "query",
    [
        "up",
        "sum by (job) (rate(x{path=~\"/a(b\", y!='['}[5m])) > 0  # a ) comment",
        r'label_replace(up, "a", "$1", "b", "\")(.*)")',
        "count({__name__=`a\\`})",
    ],
)
def test_brackets_in_strings_and_comments_do_not_count(query):
    assert mistake(query) is None


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (" ", "empty"),
        ("# only a comment", "empty"),
        ("sum(up", "'(' at character 4 is never closed"),
        ("up}", "'}' at character 3 closes nothing"),
        ("rate(up[5m)", "')' at character 11 closes nothing"),
        ('up{job="a}', "the string at character 8 has no end"),
    ],
)
def test_a_mistake_is_named_with_its_place(query, why):
    assert why in (mistake(query) or "")


@given(st.text(alphabet="up()[]{}\"'`\\# \n", max_size=40))
def test_no_text_crashes_it(query):
    mistake(query)


def test_a_wrong_query_is_refused_with_file_line_and_key(tmp_path):
    text = (ROOT / "policies" / DetectPolicy.file).read_text()
    wrong = text.replace("(aiops_consumer_lag)", "(aiops_consumer_lag")
    (tmp_path / DetectPolicy.file).write_text(wrong)
    line = text[: text.index("(aiops_consumer_lag)")].count("\n") + 1
    with pytest.raises(
        Misconfigured, match=rf"detect.yaml:{line}: polls\.1\.query: .*never closed"
    ):
        DetectPolicy.load(tmp_path)


def test_times_of_a_poll_are_the_same_whoever_asks():
    at = datetime(2026, 6, 1, 12, 0, 14, 999_000, UTC)
    assert slot(at, timedelta(seconds=15)) == datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert slot(slot(at, timedelta(seconds=7)), timedelta(seconds=7)) == slot(
        at, timedelta(seconds=7)
    )
