"""How a process ended -> whether and when it is started again."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_lab.fleet.backoff import FIRST_DELAY, LONGEST_DELAY, STEADY, Death, hopeless, next_delay


def test_deaths_in_a_row_double_the_delay_up_to_the_longest() -> None:
    delays = list(accumulate([0.0] * 9, lambda delay, _: next_delay(delay, lived=0.1)))[1:]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_life_counts_as_a_fresh_start() -> None:
    assert next_delay(16.0, lived=STEADY) == FIRST_DELAY
    assert next_delay(16.0, lived=STEADY - 0.1) == LONGEST_DELAY


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_history_gives_a_delay_outside_of_the_bounds(previous: float, lived: float) -> None:
    assert FIRST_DELAY <= next_delay(previous, lived) <= LONGEST_DELAY or previous < FIRST_DELAY / 2


@pytest.mark.parametrize(
    ("death", "verdict"),
    [
        (Death(2, 0.3, first_life=True, was_ready=False), True),
        (Death(2, 0.3, first_life=False, was_ready=False), False),
        (Death(2, 9.0, first_life=True, was_ready=True), False),
        (Death(1, 0.3, first_life=True, was_ready=False), False),
        (Death(-9, 0.3, first_life=True, was_ready=False), False),
    ],
)
def test_only_a_misconfigured_first_start_is_hopeless(death: Death, verdict: bool) -> None:
    assert hopeless(death) is verdict


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (2, "exit code 2"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
    ],
)
def test_the_exit_is_told_in_words(code: int, words: str) -> None:
    assert Death(code, 1.0, first_life=True, was_ready=True).how == words
