"""Log lines become templates: what is masked, what is learned, what an id promises."""

import json
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anomaly_detection.templates.groups import ENOUGH
from anomaly_detection.templates.masking import LOOKED_AT, Words, parameters, phrases
from anomaly_detection.templates.mining import Miner, template_id

USERS = ["anna", "bela", "carla", "dora", "eva", "frida"]
KNOWN_IDS = {
    "Accepted password for anna from 10.1.2.3 port 22 ssh2": "dc39815417f12b7d",
    "Interface GigabitEthernet1/0/7, changed state to down": "2d85f6e361242302",
    "PacketResponder 1 for block blk_38865049064139660 terminating": "990579a8dfbd48cc",
    "filesystem /var at 91 percent": "4753b18f718f8f09",
    "session closed for user cyrus": "43f9cbfb2945312a",
    "Rx lock on beam ATL-07, Es/No 12.3 dB, MODCOD 8PSK 3/4": "d39b270889821f72",
    "client @0x7f12ab34 10.20.1.7#53123 (pms.ship.lan): query: pms.ship.lan "
    "IN A + (10.20.1.42)": "84404666d3faf24d",
}


def masked(line):
    return phrases(Words().of(line))


def texts(lines, miner=None):
    miner = miner or Miner(1000)
    return [miner.learn(line).template for line in lines]


def restored(miner):
    """Another miner that knows from JSON what this one knows."""
    other = Miner(1000)
    for part in miner.parts():
        other.restore(json.loads(json.dumps(part)))
    return other


class TestMasks:
    @pytest.mark.parametrize(
        ("line", "template"),
        [
            ("Accepted password for anna from 10.1.2.3 port 22 ssh2",
             "Accepted password for <*> from <*> port <*> ssh<*>"),
            ("session opened for user root by (uid=0)", "session opened for user <*> by (uid=<*>)"),
            ("check pass; user unknown", "check pass; user unknown"),
            ("client 0:1b:44:11:3a:b7 left 00:1B:44:11:3A:B7", "client <*> left <*>"),
            ("PacketResponder 1 for block blk_38865049064139660 terminating",
             "PacketResponder <*> for block blk_<*> terminating"),
            ("replicate blk_-7571492020523929240", "replicate blk_<*>"),
            ("fpr29=0xffffffff ffffffff 0a0bffff", "fpr<*>=<*>"),
            ("generating core.2275", "generating core.<*>"),
            ("mounted /dev/sda1 on C:\\Users\\x", "mounted <*> on <*>"),
            ("Interface GigabitEthernet1/0/7, changed state to up",
             "Interface GigabitEthernet<*>, changed state to up"),
            ("free 12.3 GB of 1,024 MB in 35ms", "free <*> of <*> in <*>"),
            ("0 bytes (1.2 KB) sent, lifetime <1 sec", "<*> sent, lifetime <*>"),
            ("at Fri Jun 17 07:07:00 2005", "at <*>"),
            ("done 2026-06-01T12:00:00.123Z by job 5f0c2a4e-1111-4222-8333-444455556666",
             "done <*> by job <*>"),
            ("proxy.example.com:5070 open", "<*> open"),
            ("QuorumCnxManager.java:542 leaves", "QuorumCnxManager.java:<*> leaves"),
            ("nodes node-1 node-2 node-31 are up", "nodes node-<*> are up"),
            ("iar 003a90fc dear 00aeed6c", "iar <*> dear <*>"),
            ("allDrawn= false, moved=true", "allDrawn= <*>, moved=<*>"),
            ("kernel: x9f2q7 is gone", "kernel: <*> is gone"),
            ("GET https://ship.example/a?b=c done", "GET <*> done"),
            ("java.io.IOException: Connection reset", "java.io.IOException: Connection reset"),
        ],
    )  # fmt: skip
    def test_what_varies_goes_and_what_is_said_stays(self, line, template):
        assert masked(line) == template

    def test_different_things_that_are_said_stay_different(self):
        said = [
            "link up",
            "link down",
            "error 5 reading",
            "error 5 writing",
            "status:200",
            "length:200",
        ]
        assert len({masked(line) for line in said}) == len(said)

    @given(st.text(max_size=300))
    @settings(max_examples=200)
    def test_any_text_has_a_template_and_one_only(self, line):
        assert texts([line, line], Miner(10))[0] == texts([line])[0]

    @settings(max_examples=300)
    @given(st.lists(st.text(alphabet="0159xXafz.:-/_@$()% \x01\u0663", max_size=30), max_size=6))
    @example(["1x5f-3", "0x5f-3", "0\x01x5f-3", "1X5f-3", "0X5f-3"])
    def test_words_that_were_seen_with_other_digits_look_as_if_looked_at_anew(self, lines):
        known = Words()
        for line in lines:
            assert known.of(line) == " ".join(Words()._mask(word) for word in line.split())

    def test_a_line_is_looked_at_up_to_a_limit(self):
        assert len(set(texts(["word " * LOOKED_AT, "word " * LOOKED_AT + "other"]))) == 1

    @pytest.mark.parametrize(
        "evil", ["<*>x" * 300, "1:" * 500, "a-" * 500, "node-1 ok " * 100, "/" * 1000]
    )
    def test_no_line_takes_long(self, evil):
        assert len(masked(evil)) <= LOOKED_AT * 3  # and comes back at all


class TestIds:
    def test_they_are_those_of_earlier_releases(self):
        """When this fails, a mask has changed the ids that silences and incidents of ships know."""
        ids = {line: Miner(9).learn(line).template_id for line in KNOWN_IDS}
        assert ids == KNOWN_IDS

    def test_an_id_is_that_of_its_text_on_every_ship(self):
        one, other = Miner(1000), Miner(1000)
        for line in ["a b c d e", "f g h i j", "x y z"]:
            one.learn(line)
        seen = one.learn("disk sda1 is full")
        assert other.learn("disk sda2 is full")[:2] == seen[:2]
        assert seen.template_id == template_id(seen.template)

    def test_a_choice_of_words_stays_a_choice(self):
        lines = [f"Interface eth{n}, changed state to {('up', 'down')[n % 2]}" for n in range(50)]
        assert len(set(texts(lines))) == 2

    def test_enough_words_at_one_place_are_values(self):
        lines = [f"mail box of {user} is nearly full" for user in USERS]
        miner = Miner(1000)
        first = texts(lines, miner)
        assert len(set(first[: ENOUGH - 1])) == ENOUGH - 1
        assert set(texts(lines, miner)) == {"mail box of <*> is nearly full"}

    def test_an_id_is_never_given_to_something_else(self):
        miner, known = Miner(1000), {}
        for n in range(3):
            for user in USERS:
                for text in ("mail box of {} is nearly full", "disk of {} is nearly full by now"):
                    seen = miner.learn(text.format(user))
                    assert known.setdefault(seen.template_id, seen.template) == seen.template, n

    def test_what_counts_lines_goes_by_the_group_that_stays(self):
        miner = Miner(1000)
        sightings = [miner.learn(f"mail box of {user} is nearly full") for user in USERS]
        assert len({sighting.group for sighting in sightings}) == 1

    def test_a_statement_of_many_values_is_found_when_a_crowd_of_its_lines_is_known(self):
        """Three of nine words vary: too many to be alike at first, and no word comes twice."""
        rng = Random(1)

        def word():
            return "".join(rng.choices("abcdefgh", k=9))

        miner = Miner(1000)
        lines = [f"{word()} is at {word()} with {word()} of its crew" for _ in range(400)]
        assert sum(miner.learn(line).new for line in lines) < 40
        assert len(set(texts(lines[-100:], miner))) < 40

    def test_exceptions_are_never_joined(self):
        kinds = ["java.io.IOException", "java.net.ConnectException", "a.b.TimeoutError"]
        lines = [f"{kind}: call of backup failed" for kind in kinds]
        assert len(set(texts(lines))) == len(kinds)


class TestNews:
    def test_only_a_line_like_no_other_is_new(self):
        miner = Miner(1000)
        lines = [
            "port 1 of switch is up now",
            "port 2 of switch is up now",
            "port 1 of switch is down now",
        ]
        assert [miner.learn(line).new for line in lines] == [True, False, False]

    def test_that_a_word_proves_to_be_a_value_is_no_news(self):
        miner = Miner(1000)
        told = [miner.learn(f"mail box of {user} is nearly full").new for user in USERS]
        assert told == [True] + [False] * (len(USERS) - 1)


class TestMemory:
    def test_it_is_bounded_and_the_longest_unused_goes_first(self):
        miner = Miner(16)
        for n in range(100):
            miner.learn("always here")
            miner.learn(chr(ord("a") + n % 26) * (n // 26 + 1))
        assert sum(map(len, miner.parts())) <= 16
        assert not miner.learn("always here").new
        assert miner.learn("a").new

    def test_lines_of_random_words_are_forgotten_with_all_that_was_known_of_them(self):
        rng = Random(1)
        miner = Miner(100)
        for _ in range(1000):
            miner.learn(" ".join("".join(rng.choices("abcdef", k=6)) for _ in range(7)))
        known = {number for numbers in miner._tree._having.values() for number in numbers}
        assert known == set(miner._groups)
        assert len(miner._memo) <= len(known) <= 100

    @given(st.lists(st.sampled_from([
        *(f"mail box of {user} is nearly full" for user in USERS),
        *(f"disk {user} of {other} is {state}" for user in USERS[:2] for other in USERS
          for state in ("ok", "bad")),
        "Started backup-full.service", "Started cache-warm.service", "a", "a b", "",
    ]), max_size=40), st.integers(0, 40))  # fmt: skip
    @settings(max_examples=60)
    def test_who_is_restored_tells_the_same_of_all_that_follows(self, lines, cut):
        one = Miner(1000)
        texts(lines[:cut], one)
        other = restored(one)
        assert [one.learn(line) for line in lines[cut:]] == [
            other.learn(line) for line in lines[cut:]
        ]

    def test_parts_are_those_of_the_moment_of_the_call(self):
        miner = Miner(1000)
        texts([f"mail box of {user} is nearly full" for user in USERS[:3]], miner)
        parts, then = miner.parts(), list(miner.parts())
        texts([f"mail box of {user} is nearly full" for user in USERS], miner)
        assert list(parts) == then != list(miner.parts())


class TestParameters:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("Failed password for invalid user anna from 10.1.2.3 port 22",
             {"user": "anna", "ip": "10.1.2.3"}),
            ("session opened for user root by (uid=0)", {"user": "root"}),
            ("Interface GigabitEthernet1/0/7, changed state to down",
             {"interface": "GigabitEthernet1/0/7"}),
            ("eth0: link is down", {"interface": "eth0"}),
            ("usb 1-2: device descriptor read/64, error -71", {"code": "-71"}),
            ("heartbeat of sw-core-01 missed", {"device": "sw-core-01"}),
            ("java.io.IOException: Connection reset, exit code 3",
             {"exception": "java.io.IOException", "code": "3"}),
            ("STA aa:bb:cc:dd:ee:ff left", {"mac": "aa:bb:cc:dd:ee:ff"}),
            ("check pass; user unknown", {}),
            ("all is well in utf-8 since 2026-06-01", {}),
        ],
    )  # fmt: skip
    def test_who_where_and_with_which_code(self, line, found):
        assert parameters(line) == found
