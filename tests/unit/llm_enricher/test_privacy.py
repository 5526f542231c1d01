"""Nothing personal leaves: what is hidden, what stays, and how it comes back."""

from __future__ import annotations

import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.errors import Misconfigured
from llm_enricher.model.privacy import PrivacyPolicy, Redaction
from tests.model_cases import POLICIES, PRIVACY

PERSONAL = [
    (
        "Jan 1 sshd[4]: Failed password for invalid user mmuster from 10.3.4.5 port 9 ssh2",
        "mmuster",
    ),
    ("Jan 1 sshd[4]: Invalid user klaus.k from 10.3.4.5", "klaus.k"),
    ("dovecot: imap-login: Aborted login: user=<anna.b@ship.example>, rip=10.1.1.2", "anna.b"),
    (
        "Security 4625: An account failed to log on. Account Name: SHIP\\kmeier Source 10.0.0.9",
        "kmeier",
    ),
    ("hostapd: wlan0: STA a4:5e:60:aa:bb:cc IEEE 802.11: disassociated", "a4:5e:60:aa:bb:cc"),
    ("%DOT11-6-DISASSOC: Station a45e.60aa.bbcc roamed", "a45e.60aa.bbcc"),
    ("asterisk: NOTICE: call from +44 20 7946 0958 rejected", "7946"),
    ("pos: card 4556 7375 8689 9855 declined by acquirer", "8689"),
    ("GET /portal?cabin=8214&token=deadbeef99 500", "deadbeef99"),
    ("GET /portal?cabin=8214&token=deadbeef99 500", "8214"),
    ("mysql: Access denied for user 'bkoch'@'10.5.0.7' (using password: YES)", "bkoch"),
    ("sudo: lwagner : TTY=pts/1 ; COMMAND=/bin/sh", "lwagner"),
    ("smtp: to=<guest.4711@mail.example>: relay timed out", "4711"),
    ("backup: rsync of /home/ohansen failed", "ohansen"),
    ("amqp://booking:S3cr3t@mq-1:5672 refused", "S3cr3t"),
]
TECHNICAL = [
    "%LINK-3-UPDOWN: Interface GigabitEthernet1/0/24, changed state to down",
    "ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen",
    "UPS ups-1 on battery, 12V 10.6 V, runtime 00:12:30",
    "dhcpd: network 10.20.0.0/24: no free leases",
    "Es/N0 4.1 dB, azimuth 210.4, ACU tracking lost on vsat-1",
    "BGP neighbor 203.0.113.1 Down - Hold timer expired",
    "kernel: Out of memory: Killed process 4312 (mysqld) total-vm:8123456kB",
    "certificate of vpn.ship.example expired on 2026-11-29T00:00:00Z",
    "Failed password for root from 10.0.0.7 port 4 ssh2",
]


@pytest.mark.parametrize(("line", "value"), PERSONAL)
def test_what_is_personal_is_hidden(line, value):
    assert value not in PRIVACY.redacted(line)


@pytest.mark.parametrize("line", TECHNICAL)
def test_what_explains_a_fault_stays(line):
    assert PRIVACY.redacted(line) == line


def test_equal_values_of_one_question_have_equal_words_and_come_back():
    redaction = Redaction(PRIVACY)
    one = redaction.hide("Invalid user anna from 10.0.0.1")
    other = redaction.hide("Failed password for anna from 10.0.0.1; Invalid user bea from 10.0.0.2")
    assert one == "Invalid user [person#1] from 10.0.0.1"
    assert "[person#1]" in other and "[person#2]" in other
    said = "10.0.0.1 guesses passwords of [person#1], not of [person#9]."
    assert redaction.restore(said) == "10.0.0.1 guesses passwords of anna, not of [person#9]."


def test_a_word_in_a_line_that_was_not_hidden_brings_nothing_back():
    assert Redaction(PRIVACY).restore("[mail#1]") == "[mail#1]"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("user jdoe\npam: user=jdoe", "user [user#1]\npam: user=[user#1]"),
        ("Jdoe, jdoes; user=jdoe", "[user#1], jdoes; user=[user#1]"),
        ("user=mail to=<a@b.example>", "user=[user#1] to=<[mail#1]>"),
    ],
)
def test_a_value_that_is_known_is_hidden_everywhere(text, hidden):
    assert PRIVACY.redacted(text) == hidden


@given(st.text(max_size=300))
def test_hiding_raises_nothing_and_does_nothing_more_the_second_time(text):
    once = PRIVACY.redacted(text)
    assert PRIVACY.redacted(once) == once


def test_long_lines_take_no_time():
    for bait in ("a@" * 8000, "user " * 4000, "1 " * 8000, "for user " * 2000, "00:" * 6000):
        started = time.perf_counter()
        PRIVACY.redacted(bait)
        assert time.perf_counter() - started < 1


def mistake(tmp_path, change) -> str:
    data = yaml.safe_load((POLICIES / "privacy.yaml").read_text())
    change(data["rules"])
    (tmp_path / "privacy.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(Misconfigured) as caught:
        PrivacyPolicy.load(tmp_path)
    return str(caught.value)


def test_a_rule_that_does_not_what_its_samples_say_is_a_mistake(tmp_path):
    assert "secret hides nothing in 'harmless'" in mistake(
        tmp_path, lambda rules: rules[0].update(hides=["harmless"])
    )
    assert re.search(
        r"secret makes 'password=\[secret#1\]' of",
        mistake(tmp_path, lambda rules: rules[0].update(keeps=["password=x1"])),
    )
    assert "not a regular expression" in mistake(
        tmp_path, lambda rules: rules[0].update(pattern="(")
    )
    assert "two rules are called mail" in mistake(
        tmp_path, lambda rules: rules[0].update(id="mail")
    )
