"""One item over many devices: what it is called, and whether it is one."""

import pytest

from aiops_core import spreads
from aiops_core.spreads import LONGEST, title_over, wide_spreads


def test_a_spread_is_on_so_many_devices_or_it_is_none():
    places = [("a", "sw-1"), ("a", "sw-2"), ("a", "sw-2"), ("b", "sw-1"), ("", "sw-1"), ("", "x")]
    assert wide_spreads(places, 2) == {"a": 2}
    assert wide_spreads(places, 1) == {"a": 2, "b": 1}
    assert wide_spreads([], 1) == {}


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        (["Fan 2 failed on sw-1"], "Fan 2 failed on 51 devices"),
        (["Link down: Gi1 on sw-1", "Link down: Gi1 on sw-2"], "Link down: Gi1 on 51 devices"),
        (["Link down: Gi1 on sw-1", "Link down: Gi2 on sw-2"], "Link down on 51 devices"),
        (["sw-1 is unreachable", "sw-2 is unreachable"], "51 devices are unreachable"),
        (["sw-1 restarted"], "51 devices restarted"),
        (["sw-1 does not respond"], "51 devices do not respond"),
        (["sw-1 was restarted"], "51 devices were restarted"),
        (["sw-1 no longer writes: sshd"], "51 devices no longer write: sshd"),
        (["sw-1 has lost its peer"], "51 devices have lost its peer"),
        (["core is unreachable from sw-1"], "core is unreachable on 51 devices"),
        (["Carrier lost on eth0 of sw-1"], "Carrier lost on eth0 on 51 devices"),
        (["Password guessing on sw-1 from 10.0.0.7"], "Password guessing on 51 devices"),
        (["Fan 2 failed on sw-1, daily at 04:02 (3rd time)"], "Fan 2 failed on 51 devices"),
        (["Fan 2 failed on sw-1 (flapping)"], "Fan 2 failed on 51 devices"),
        (["sw-1 restarted, 2 more devices affected"], "51 devices restarted"),
        (["Single errors on sw-1 and 1 more"], "Single errors on 51 devices"),
        (["Share a is lost… on sw-1", "Share b is lost by sw-2"], "Share … is lost… on 51 devices"),
        (["Fan failed on sw-1", "PSU 3 lost on sw-2"], "Fan failed on 51 devices"),
        (["Link sw-1:3 is in reset"], "Link …:3 is in reset on 51 devices"),
        (["sw-10 restarted"], "sw-10 restarted on 51 devices"),
        ([""], "The same on 51 devices"),
        ([], "The same on 51 devices"),
    ],
)
def test_the_title_says_what_all_titles_say_and_on_how_many_devices(titles, said):
    assert title_over(titles, ["sw-1", "sw-2"], 51) == said


def test_a_title_over_thousands_of_devices_costs_no_pattern_for_each(monkeypatch):
    devices = [f"node-{n}" for n in range(5000)]
    titles = [f"Fan failed on {device}" for device in devices[-20:]]
    patterns = []
    monkeypatch.setattr(spreads.re, "escape", lambda text: patterns.append(text) or text)
    assert title_over(titles, devices, 5000) == "Fan failed on 5000 devices"
    assert len(patterns) < 200


def test_a_long_title_is_cut_and_keeps_the_number():
    title = title_over(["word " * 40 + "on sw-1"], ["sw-1"], 51)
    assert len(title) <= LONGEST and title.endswith("… on 51 devices")
    assert len(title_over(["sw-1 " + "word " * 40], ["sw-1"], 51)) <= LONGEST
