"""Findings of the detectors that learn from log lines. Time in seconds after noon."""

from datetime import timedelta

import pytest

from aiops_core.normaliser.statement import statement
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.base import Cleared, Detected
from anomaly_detection.detectors.line_rate import LONGEST
from anomaly_detection.detectors.line_rules import PatternDetector, RecoveryDetector
from anomaly_detection.detectors.literals import required
from anomaly_detection.detectors.table import RuleTable, in_message
from anomaly_detection.layers import DetectorTuning
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import EVERYTHING, QUOTED, Burst
from tests import log_cases as cases
from tests.conftest import NOON, ROOT, line
from tests.log_cases import by_time, said, words

POLICY = DetectPolicy.load(ROOT / "policies")


def told(detector, entries):
    """(seconds after noon, what) of every finding, time passing between the entries."""
    return [
        ((finding.at - NOON).total_seconds(), finding)
        for entry in entries
        for finding in (*detector.elapse(entry.ts), *detector.observe(entry))
    ]


def begun(detector, entries):
    return [at for at, finding in told(detector, entries) if isinstance(finding, Detected)]


def over(detector, entries):
    return [at for at, finding in told(detector, entries) if isinstance(finding, Cleared)]


class TestNewTemplate:
    def test_it_is_told_once_and_a_few_times_a_day_at_most(self):
        entries = said(["tick"] * 70 + ["aa", "aa", "bb", "cc", "dd"])
        assert begun(cases.new_template(), entries) == [70, 72, 73]

    def test_a_line_of_a_known_kind_is_none_on_whatever_device(self):
        entries = [*said(["tick"] * 70), line("tick", n=80, host="other")]
        assert begun(cases.new_template(), entries) == []

    def test_a_pause_of_a_device_is_no_warm_up(self):
        entries = [line("tick", n=0), line("aa", n=7 * 86_400)]
        slow = cases.new_template()
        slow._rule = slow._rule.model_copy(update={"warm_up": timedelta(hours=1)})
        assert begun(slow, entries) == []


class TestRate:
    def test_a_flood_is_told_when_it_exceeds_what_was_and_when_it_is_over(self):
        assert [round(at) for at in begun(cases.rate(), cases.FLOOD)] == [104]
        assert over(cases.rate(), cases.FLOOD) == [120]

    def test_what_was_told_is_not_learned(self):
        twice = by_time(cases.FLOOD, said(["tick"] * 160, 160), said(["tick"] * 60, 260.5, 0.16))
        assert len(begun(cases.rate(), twice)) == 2

    def test_what_lasts_is_how_things_are_now(self):
        long = by_time(said(["tick"] * 100), said(["tick"] * 20 * 10 * (LONGEST + 5), 100, 0.2))
        assert len(begun(cases.rate(), long)) == 1
        assert over(cases.rate(), long) == []

    def test_a_template_that_stops_is_told_while_the_device_goes_on_and_when_it_is_back(self):
        assert begun(cases.rate(), cases.GONE) == [120.5]
        assert over(cases.rate(), cases.GONE) == [150]

    def test_a_device_that_falls_silent_has_dropped_nothing(self):
        pause = [*said(["tick"] * 100), *said(["tick"] * 50, 200)]
        assert begun(cases.rate(), pause) == []

    def test_lines_of_another_age_are_no_flood(self):
        """A log of years is read in at once: its own times count."""
        entries = [line("tick", n=3600 * n) for n in range(500)]
        assert begun(cases.rate(), entries) == []

    def test_harmless_errors_are_no_burst(self):
        entries = by_time(said(["fine"] * 200), said(["harmless"] * 5, 110.3, 1.0, level="error"))
        assert begun(cases.rate(), entries) == []

    def test_a_service_without_a_name_can_be_told(self):
        """An anomaly needs a service: without one the line itself would have been refused."""
        nameless = [entry.model_copy(update={"service": ""}) for entry in cases.FLOOD]
        services = [finding.source.service for _, finding in told(cases.rate(), nameless)]
        assert services == ["unknown", "unknown"]

    @pytest.mark.parametrize(("sensitivity", "found"), [("low", 0), ("normal", 1), ("high", 1)])
    def test_the_layers_say_how_eagerly(self, sensitivity, found):
        detector = cases.rate()
        detector._tuning_of = lambda *_: DetectorTuning(sensitivity=sensitivity)
        modest = by_time(said(["tick"] * 160), said(["tick"] * 26, 100.5, 0.35))
        assert len(begun(detector, modest)) == found


class TestMix:
    def test_known_lines_in_other_shares_are_told_and_their_end(self):
        (start,), (end,) = begun(cases.mix(), cases.TURNS), over(cases.mix(), cases.TURNS)
        assert 123 < start < 140 < end

    def test_the_order_of_lines_does_not_matter(self):
        blocks = said((["tick"] * 5 + ["tock"] * 5) * 30)
        assert begun(cases.mix(), blocks) == []


class TestSilence:
    def test_a_device_is_lost_after_its_longest_pauses_and_returns(self):
        assert begun(cases.silence(), cases.LOST) == [119]
        assert over(cases.silence(), cases.LOST) == [160]

    def test_when_all_are_silent_nobody_is_lost(self):
        both = by_time(*(said(["a"] * 100, device_id=device) for device in ("srv-a", "srv-b")))
        after = [line("a", n=300, device_id="srv-a"), line("a", n=301, device_id="srv-b")]
        assert begun(cases.silence(), [*both, *after]) == []

    def test_a_log_that_is_read_in_afterwards_makes_nobody_a_sender(self):
        arrived = {"stages": {"ingest": NOON.isoformat()}}
        old = said(["a"] * 500, device_id="srv-a", **arrived)
        now = [line("b", n=5000 + n, device_id="srv-b") for n in range(100)]
        assert begun(cases.silence(), [*old, *now]) == []

    def test_it_is_no_recovery_that_the_lost_one_is_still_silent(self):
        for_ever = [
            entry
            for entry in cases.LOST
            if entry.device_id != "srv-1a" or entry.ts < NOON + timedelta(seconds=110)
        ]
        assert over(cases.silence(), for_ever) == []


class TestDetection:
    async def anomalies(self, entries):
        detection = Detection(POLICY)
        return [message for entry in entries for message in detection.on_line(entry)]

    async def test_an_anomaly_of_a_line_names_its_template_and_parameters(self):
        (found,) = await self.anomalies(
            [line("Failed password for root from 10.1.2.3 port 4", n=1)]
        )
        assert found.template == "Failed password for <*> from <*> port <*>"
        assert found.template_id
        assert found.meta["user"] == "root"
        assert found.meta["ip"] == "10.1.2.3"

    async def test_lines_that_differ_in_values_have_one_template(self):
        lines = [line(f"disk sda{n} is full", n=n, level="error") for n in range(3)]
        assert len({found.template_id for found in await self.anomalies(lines)}) == 1

    async def test_what_a_rule_says_is_stronger_than_what_is_learned(self):
        known = [line("tick", n=600 * n) for n in range(200)]
        last = line("out of memory", n=600 * 200)
        assert [found.detector for found in await self.anomalies([*known, last])] == ["pattern"]

    async def test_a_new_line_is_told_after_a_day(self):
        known = [line("tick", n=600 * n) for n in range(150)]
        found = await self.anomalies([*known, line("never heard of", n=600 * 150)])
        assert [(f.detector, f.template) for f in found] == [("new_template", "never heard of")]

    async def test_what_is_missing_is_told_in_its_own_words(self):
        entries = by_time(
            said(["tick", "tock"] * 60 * 75, 0.0, 1.0), said(["tock"] * 300, 60.0 * 150, 1.0)
        )
        (found,) = [a for a in await self.anomalies(entries) if a.anomaly_type == "log_rate_drop"]
        assert found.msg.startswith("Up to 14:33:00 UTC srv-1 has not logged “tick” for 3 min")
        assert found.template == "tick"


def is_regex_alone(rule):
    return not (rule.near or rule.needs or rule.unless)


def ids(matches):
    """The rules of *matches*, and where in the line."""
    return [(rule.id, match.span()) for rule, match in matches]


def shifted(text):
    """*text* with other digits."""
    return text.translate(str.maketrans("0123456789", "9012345678"))


class TestTable:
    def test_the_index_of_words_hides_no_match(self):
        """The table finds every match of a regex; the lines contain texts of all kinds of rules."""
        rules = [rule for rule in POLICY.line_rules if in_message(rule) and is_regex_alone(rule)]
        table = RuleTable(rules)
        texts = [text for rule in rules for text in sorted(required(rule.regex) or ())][::7]
        for n, text in enumerate(texts):
            for said_ in (f"x{text.upper()}y", f"{texts[n - 1]} {text}"):
                entry = line(said_, service="sshd", level="error")
                expected = [rule.id for rule in rules if self.finds(rule, entry)]
                assert [rule.id for rule, _ in table.matches(entry)] == expected

    def finds(self, rule, entry):
        of_level = rule.levels is None or entry.level in rule.levels
        of_service = rule.concerns("sshd", "srv-1")
        said_ = entry.msg if QUOTED in rule.looks_in else statement(entry.msg, entry.labels)
        texts = (entry.msg, said_)
        return of_level and of_service and all(map(rule.regex.search, texts))

    def test_every_rule_for_all_senders_has_a_text_to_look_for(self):
        """Without one it is tried on every line."""
        rules = [rule for rule in POLICY.line_rules if in_message(rule)]
        assert not [r.id for r in rules if r.services == EVERYTHING and not required(r.regex)]

    def test_lines_of_one_shape_are_told_apart_by_their_digits(self):
        rules = [rule for rule in POLICY.line_rules if in_message(rule) and is_regex_alone(rule)]
        table = RuleTable(rules)
        texts = [text for rule in rules for text in sorted(required(rule.regex) or ())]
        for text in [text for text in texts if not text.isalpha() and text != shifted(text)][::3]:
            for said_ in (f"x {shifted(text)}: y", f"x {text}: y"):
                entry = line(said_, service="sshd", level="error")
                expected = [rule.id for rule in rules if self.finds(rule, entry)]
                assert [rule.id for rule, _ in table.matches(entry)] == expected

    def test_who_decides_is_the_first_of_all_that_match(self):
        """The search for it ends with the first; the samples are of all packs."""
        table = RuleTable(POLICY.line_rules)
        every = (text for rule in POLICY.line_rules for text in rule.positive)
        samples = [text for text in every if isinstance(text, str)][::5]
        for n, text in enumerate(samples):
            for said_ in (text, f"{samples[n - 1]} {text}", f'said "{text}"'):
                entry = line(said_, service="sshd", level="error")
                bursts = [one for one in table.matches(entry) if isinstance(one[0], Burst)]
                ranked = table.ranked(entry)
                decision = table.decision(entry)
                assert ids(decision.bursts) == ids(bursts)
                assert ids([decision.winner] if decision.winner else []) == ids(ranked[:1])

    def test_words_that_come_and_go_are_forgotten(self):
        table = RuleTable(POLICY.patterns)
        for word in words(676):
            table.matches(line(f"zz{word}"))
        table._fragments.clear()
        assert table.matches(line("out of memory"))

    def test_who_shares_a_table_finds_what_it_finds_alone(self):
        """The same line twice, and lines that rules of several kinds match."""
        table = RuleTable(POLICY.line_rules)
        kinds = (PatternDetector, RecoveryDetector)
        pairs = [(kind(table), kind(RuleTable(POLICY.line_rules))) for kind in kinds]
        up, bad = line("link is up"), line("out of memory, link is up")
        for entry in (up, bad, up, up, line("fine"), bad):
            for sharing, alone in pairs:
                assert sharing.observe(entry) == alone.observe(entry)
        assert [bool(sharing.observe(up)) for sharing, _ in pairs] == [False, True]
