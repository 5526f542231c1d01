"""What guests write is not what a device says."""

import re
from pathlib import Path
from time import perf_counter

import pytest
import yaml

from aiops_core.models import Level
from aiops_core.normaliser import levels
from aiops_core.normaliser.statement import HIDDEN, statement

NASTY = re.compile(
    r"kernel.?panic|out.?of.?memory|on.?battery|no.?space.?left|fan.?failed|link.?down",
    re.IGNORECASE,
)

CASES = yaml.safe_load((Path(__file__).parent / "statements.yaml").read_text("utf-8"))
OF_OTHERS: list[str] = CASES["others"]
OWN: list[str] = CASES["own"]


@pytest.mark.parametrize("text", OF_OTHERS)
def test_what_others_wrote_is_hidden(text: str) -> None:
    said = statement(text, {})
    assert not NASTY.search(said), said
    assert HIDDEN in said


@pytest.mark.parametrize("text", OWN)
def test_what_the_device_says_stays(text: str) -> None:
    said = statement(text, {})
    assert NASTY.search(said), said


def test_there_are_enough_cases() -> None:
    assert len(OF_OTHERS) >= 40
    assert len(OWN) >= 25


@pytest.mark.parametrize(
    "text",
    [
        'interface "GigabitEthernet1/0/24" is down',
        'WAN "WAN 1" disconnected',
        'state of "Fan 1" changed from "Online" to "Failed"',
        'password authentication failed for user "pms"',
        "Failed password for root from 203.0.113.7 port 22 ssh2",
        "Invalid user admin from 203.0.113.7",
        "VERIFY ERROR: depth=0, error=certificate has expired: C=NO, CN=vpn",
        "certificate expires in 3 days, subject: CN=vpn.ship",
        "connect to rtsp://10.20.3.4 timed out",
    ],
)
def test_names_of_things_stay(text: str) -> None:
    assert statement(text, {}) == text


def test_a_label_of_others_is_hidden_where_the_message_repeats_it() -> None:
    labels = {"url.full": "http://x.example/kernel panic", "device.vendor": "Fortinet"}
    said = statement("web filter: passed http://x.example/kernel panic now, Fortinet", labels)
    assert said == f"web filter: passed {HIDDEN} now, Fortinet"


@pytest.mark.parametrize("text", OF_OTHERS)
def test_words_of_others_state_no_critical_level(text: str) -> None:
    assert levels.from_message(text) is not Level.CRITICAL


def test_a_long_or_odd_text_takes_no_longer() -> None:
    hard = [
        *('"' * 60_000, "' " * 30_000, "opened file " * 5_000, "user=" * 12_000, "for " * 15_000),
        *("SELECT " * 8_000, "header Subject: x from y; " * 2_500, "job created " * 5_000),
        *(
            "guest " * 10_000,
            "ssid " * 12_000,
            "<" * 60_000,
            "/" * 60_000 + " found",
            "GET " * 15_000,
        ),
        *(
            "a-" * 30_000,
            "aa:bb:cc:dd:ee:ff " * 3_000,
            "description port " * 4_000,
            "[user: " * 8_000,
        ),
    ]
    for text in hard:
        begun = perf_counter()
        statement(text, {})
        assert perf_counter() - begun < 2, text[:20]
