"""How often something comes, in words."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from correlation_service.cadence import cadence_of, differs
from tests.correlation_cases import POLICY

RULES = POLICY.problems
SUNDAY = datetime(2026, 6, 7, 4, 22, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


def every(gap, times=12, jitter=timedelta(0), start=SUNDAY):
    chance = random.Random(7)
    return [start + n * gap + chance.uniform(-1, 1) * jitter for n in range(times)]


def words(begins):
    cadence = cadence_of(begins, RULES)
    return cadence.words if cadence else ""


@pytest.mark.parametrize(
    ("gap", "jitter", "said"),
    [
        (40 * SECOND, SECOND / 5, "every 40 s"),
        (17 * MINUTE, 10 * SECOND, "every 17 min"),
        (90 * MINUTE, 10 * SECOND, "every 90 min"),
        (HOUR, 30 * SECOND, "hourly"),
        (6 * HOUR, 10 * MINUTE, "every 6 h"),
        (DAY, MINUTE / 2, "daily at 04:22"),
        (DAY, 2 * HOUR, "daily"),
        (2 * DAY, MINUTE, "every 2 days at 04:22"),
        (WEEK, MINUTE, "weekly on Sunday at 04:22"),
    ],
)
def test_a_regular_cadence_is_said_as_a_person_would(gap, jitter, said):
    begins = every(gap, 5 if gap == WEEK else 12, jitter)
    found = cadence_of(begins, RULES)
    assert found.words[:-1] == said[:-1]  # the minute is that of the median
    assert not differs(found.gap, gap, 0.1)


@pytest.mark.parametrize("gap", [17 * MINUTE, 6 * HOUR, DAY])
@pytest.mark.parametrize("missed", [1, 2, 5, 10])
def test_one_that_was_missed_changes_nothing(gap, missed):
    begins = every(gap)
    whole = cadence_of(begins, RULES)
    del begins[missed]
    assert cadence_of(begins, RULES) == whole


@pytest.mark.parametrize("gap", [17 * MINUTE, DAY])
def test_three_with_one_that_was_missed_are_enough(gap):
    begins = [SUNDAY, SUNDAY + gap, SUNDAY + 3 * gap]
    assert cadence_of(begins, RULES).gap == gap


def test_midnight_is_no_border():
    start = datetime(2026, 6, 7, 0, 1, tzinfo=UTC)
    begins = [start + n * DAY + (-1) ** n * 3 * MINUTE for n in range(6)]
    assert words(begins) in ("daily at 23:58", "daily at 00:04")


def test_what_works_on_weekdays_only_is_daily():
    monday = SUNDAY + DAY
    begins = [monday + (n + 2 * (n // 5)) * DAY for n in range(12)]
    assert words(begins) == "daily at 04:22"


def test_two_are_no_cadence_nor_are_three_in_a_year():
    assert words(every(DAY, 2)) == ""
    assert words(every(100 * DAY, 3)) == ""


def test_what_comes_at_random_has_none():
    assert words([SUNDAY, SUNDAY + DAY, SUNDAY + 10 * DAY]) == ""
    hours = (0, 3, 40, 44, 150, 151, 300)
    assert words([SUNDAY + hour * HOUR for hour in hours]) == ""


def test_what_comes_often_is_counted():
    hours = (0, 0.1, 2, 9, 9.2, 15, 15.1, 15.2, 19, 20, 20.5, 21)
    assert words([SUNDAY + hour * HOUR for hour in hours]) == "some 12 times a day"


def test_what_comes_more_often_than_anybody_remembers_is_counted_by_the_newest():
    chance = random.Random(3)
    begins = sorted(SUNDAY + chance.random() ** 3 * 2 * HOUR for _ in range(32))
    assert words(begins).startswith("some 3") and words(begins).endswith("0 times a day")


def test_what_varies_a_little_is_counted_by_the_week():
    days = (0, 2.3, 5.6, 7.2, 8.9, 12.1)
    assert words([SUNDAY + day * DAY for day in days]) == "some 3 times a week"


@pytest.mark.parametrize(("before", "after"), [(17, 41), (60, 17), (30, 1440)])
def test_another_cadence_is_known_after_three_of_its_gaps(before, after):
    begins = every(before * MINUTE, 20)
    newest = [begins[-1] + n * after * MINUTE for n in range(1, 4)]
    assert cadence_of([*begins, *newest[:2]], RULES).gap == before * MINUTE
    assert cadence_of([*begins, *newest], RULES).gap == after * MINUTE


def test_the_order_in_which_they_are_told_does_not_matter():
    begins = every(17 * MINUTE, 12, MINUTE)
    shuffled = random.Random(1).sample(begins, len(begins))
    assert cadence_of(shuffled, RULES) == cadence_of(begins, RULES)


def test_at_one_time_is_no_error():
    assert cadence_of([SUNDAY] * 5, RULES).gap == SECOND
