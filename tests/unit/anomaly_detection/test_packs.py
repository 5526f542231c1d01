"""Packs: files -> rules in force, and which rule takes a line."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.packs import examine
from aiops_core.observability import metrics
from anomaly_detection.detectors.overlaps import precedence
from anomaly_detection.handler import Notes
from anomaly_detection.packs import Packs, load_pack, load_packs, uncleared_of
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Harmless, Pattern
from anomaly_detection.samples import Judge, complaints, entry_of
from tests.conftest import ROOT, line

POLICIES = ROOT / "policies"
POLICY = DetectPolicy.load(POLICIES)
SAMPLES = {"positive": ["Nov 30 11:58:07 sw-1 x: pump 3 broke"], "negative": ["all is well"]}
PUMP = {
    "id": "broke",
    "regex": r"pump (?P<pump>\d+) broke",
    "state": "raise",
    "scope": ["pump"],
    "anomaly_type": "hardware_failure",
    "domain": "system",
    "severity": "high",
    "score": 0.9,
    "says": "a broken pump",
    **SAMPLES,
}


def pack(*patterns, kind="maker", id_="acme", **more):
    head = {"id": id_, "title": "Acme", "kind": kind, "source": "its manual"}
    return head | {"patterns": list(patterns)} | more


def write(folder, *packs, site=False):
    place = folder / ("site/packs" if site else "packs")
    place.mkdir(parents=True, exist_ok=True)
    for one in packs:
        (place / f"{one['id']}.yaml").write_text(yaml.safe_dump(one, sort_keys=False))
    return folder


def judge(folder):
    return Judge(POLICY.using(load_packs(folder)))


def winner(folder, msg, **fields):
    won = judge(folder).judge(line(msg, **fields)).winner
    return won.id if won else None


class TestLoading:
    def test_rules_have_the_name_and_services_of_their_pack(self, tmp_path):
        write(tmp_path, pack(PUMP, services=["pumpd*"]))
        [rule] = load_packs(tmp_path).rules
        assert (rule.id, rule.services, rule.kind) == ("acme/broke", ("pumpd*",), "maker")

    @pytest.mark.parametrize(
        ("change", "mistake"),
        [
            ({"regex": "pump (3 broke"}, ":7: patterns.0.regex: "),
            ({"regex": r"(?:\w+ )+broke"}, "unbounded repetition"),
            ({"positive": []}, "a positive and a negative line are missing: broke"),
            ({"scope": ["fan"]}, "no group fan of the scope"),
            ({"anomaly_type": "kernel_panic"}, "name the services"),
            ({"severity": "awful"}, "patterns.0.severity"),
            ({"enabled": False}, "patterns.0"),
        ],
    )
    def test_one_with_a_mistake_is_left_out_and_named(self, tmp_path, change, mistake):
        write(tmp_path, pack(PUMP | change), pack(PUMP, id_="other"))
        found = load_packs(tmp_path)
        assert [rule.id for rule in found.rules] == ["other/broke"]
        [left] = found.left_out
        assert left.file == "packs/acme.yaml"
        assert mistake in left.problem

    def test_what_is_left_out_is_counted_and_shown(self, tmp_path):
        write(tmp_path, pack({}))
        notes: dict[str, str] = {}
        before = metrics.PACKS_LEFT_OUT._value.get()
        Notes(notes).left_out(load_packs(tmp_path).left_out)
        assert metrics.PACKS_LEFT_OUT._value.get() == before + 1
        assert "left out" in notes["pack packs/acme.yaml"]

    def test_a_word_stands_for_alternatives(self, tmp_path):
        words = {"bad": "broke|leaks", "thing": "pump|valve {{bad}}?"}
        rule = PUMP | {"regex": r"{{thing}} (?P<pump>\d+) {{bad}}"}
        write(tmp_path, pack(rule, words=words))
        assert winner(tmp_path, "pump 3 leaks") == "acme/broke"

    def test_a_site_replaces_one_rule_and_removes_another(self, tmp_path):
        write(tmp_path, pack(PUMP, PUMP | {"id": "dead", "regex": r"pump (?P<pump>\d+) died"}))
        gone = {"id": "dead", "enabled": False}
        write(tmp_path, {"id": "acme", "patterns": [PUMP | {"severity": "low"}, gone]}, site=True)
        [rule] = load_packs(tmp_path).rules
        assert (rule.id, rule.severity.value, rule.kind) == ("acme/broke", "low", "site")

    def test_the_name_of_the_file_is_the_id(self, tmp_path):
        write(tmp_path, pack(PUMP))
        (tmp_path / "packs/acme.yaml").rename(tmp_path / "packs/acne.yaml")
        assert "not the name of the file" in load_packs(tmp_path).left_out[0].problem


class TestOverlaps:
    def test_a_site_then_the_maker_then_the_topic_then_anybody(self, tmp_path):
        for n, kind in enumerate(("generic", "topic", "maker")):
            write(tmp_path, pack(PUMP, kind=kind, id_=f"p{n}"))
            assert winner(tmp_path, "pump 3 broke") == f"p{n}/broke"
        write(tmp_path, pack(PUMP, kind="generic", id_="ours"), site=True)
        assert winner(tmp_path, "pump 3 broke") == "ours/broke"

    def test_within_a_kind_the_more_fixed_characters_then_the_severity(self, tmp_path):
        longer = PUMP | {"id": "longer", "regex": r"the pump (?P<pump>\d+) broke"}
        worse = PUMP | {"id": "worse", "severity": "critical"}
        write(tmp_path, pack(PUMP, longer, worse))
        assert winner(tmp_path, "the pump 3 broke") == "acme/longer"
        assert winner(tmp_path, "a pump 3 broke") == "acme/worse"

    def test_alternatives_count_by_the_shortest_and_repetitions_by_the_least(self):
        def fixed(regex):
            rule = Harmless.model_validate({"id": "x", "regex": regex, "why": "y"})
            return -precedence(rule, 0)[1]

        assert fixed(r"fan \d+ (?:failed|off)") == 8
        assert fixed(r"(?:ab){2,5}c?") == 4
        assert fixed(r"(?=.{0,9}down)port") == 8

    def test_a_harmless_rule_wins_over_what_is_less_specific_and_silences_the_level(self, tmp_path):
        fine = {"id": "test", "regex": "test of pump 3 broke", "why": "a test", **SAMPLES}
        write(tmp_path, pack(PUMP, harmless=[fine]))
        judged = judge(tmp_path).judge(line("test of pump 3 broke", level="error"))
        assert (judged.winner.id, judged.finding) == ("acme/test", None)
        assert [loser.rule.id for loser in judged.losers] == ["acme/broke"]


class TestRules:
    def test_a_raise_and_its_clear_are_about_one_component(self, tmp_path):
        ok = {"id": "ok", "state": "clear", "regex": r"pump (?P<pump>\d+) runs", "says": "so"}
        ok |= {"scope": ["pump"], "clears": ["hardware_failure"], **SAMPLES}
        write(tmp_path, pack(PUMP, ok))
        raised = judge(tmp_path).judge(line("pump 3 broke")).anomaly
        cleared = judge(tmp_path).judge(line("pump 3 runs", level="error")).cleared
        assert raised.component == cleared.component == "pump 3"
        assert raised.meta == {"pump": "3", "rule": "acme/broke", "state": "raise"}

    @pytest.mark.parametrize(
        ("stated", "clears", "lasts"),
        [
            ({"state": "raise"}, "hardware_failure", True),
            ({"state": "raise"}, "link_down", None),  # its type decides
            ({"state": "raise", "lasts": False}, "hardware_failure", False),
            ({"state": "event"}, "hardware_failure", None),
            ({"state": "event", "lasts": True}, "link_down", True),
        ],
    )
    def test_what_is_raised_and_can_be_cleared_lasts_and_a_rule_may_say_otherwise(
        self, tmp_path, stated, clears, lasts
    ):
        ok = {"id": "ok", "state": "clear", "regex": "pump runs", "says": "so", **SAMPLES}
        write(tmp_path, pack(PUMP | stated, ok | {"clears": [clears]}))
        assert judge(tmp_path).judge(line("pump 3 broke")).anomaly.state is lasts

    def test_what_no_rule_of_its_pack_clears_is_known(self, tmp_path):
        part = {"regex": r"pump (?P<pump>\d+) runs", "scope": ["pump"]}
        ok = {"id": "ok", "state": "clear", "says": "so", "clears": ["hardware_failure"], **SAMPLES}
        whole = PUMP | {"id": "whole", "regex": "pump room (?P<pump>[a-z]+) burns", "scope": []}
        event = PUMP | {"id": "event", "state": "event"}
        write(tmp_path, pack(PUMP, whole, event, ok | part))
        [loaded] = load_packs(tmp_path).loaded
        assert [rule.id for rule in uncleared_of(loaded)] == ["acme/whole"]

    def test_the_group_service_names_whom_it_is_about(self, tmp_path):
        write(tmp_path, pack(PUMP | {"regex": r"pump (?P<pump>\d+) of (?P<service>\S+) broke"}))
        found = judge(tmp_path).judge(line("pump 3 of ecdis-gw broke", service="systemd")).anomaly
        assert found.source.service == "ecdis-gw"

    def test_a_rule_may_look_into_labels(self, tmp_path):
        write(tmp_path, pack(PUMP | {"regex": "^4625$", "in": ["event.id"], "scope": []}))
        assert winner(tmp_path, "x", labels={"event.id": "4625"}) == "acme/broke"
        assert winner(tmp_path, "4625", labels={"event.id": "14625"}) is None

    def test_what_others_wrote_is_no_statement_unless_the_rule_says_so(self, tmp_path):
        said = 'GET "/a?q=pump 3 broke" 200'
        write(tmp_path, pack(PUMP))
        assert winner(tmp_path, said) is None
        write(tmp_path, pack(PUMP | {"in": ["quoted"]}))
        assert winner(tmp_path, said) == "acme/broke"

    def test_words_that_must_be_there_and_be_near_and_what_excludes(self, tmp_path):
        rule = PUMP | {"regex": r"pump (?P<pump>\d+)", "needs": ["broke"], "near": "broke"}
        write(tmp_path, pack(rule | {"apart": 5, "unless": "test"}))
        assert winner(tmp_path, "broke: pump 3") == "acme/broke"
        assert winner(tmp_path, "pump 3 is unbroken") is None
        assert winner(tmp_path, "pump 3 and then something else broke") is None
        assert winner(tmp_path, "test: pump 3 broke") is None

    def test_a_line_that_continues_another_says_nothing(self, tmp_path):
        write(tmp_path, pack(PUMP))
        more = line("pump 3 broke", level="error", labels={"log.continues": "x"})
        assert judge(tmp_path).judge(more).finding is None


class TestShipped:
    """Every pack of ours; `aiops packs check` says the same."""

    JUDGE = Judge(POLICY)

    def test_none_is_left_out(self):
        assert POLICY.packs.left_out == ()

    @pytest.mark.parametrize("loaded", POLICY.packs.loaded, ids=lambda one: one.pack.id)
    def test_its_samples_are_judged_as_it_says(self, loaded):
        assert [str(one) for one in complaints(loaded, self.JUDGE)] == []

    @pytest.mark.parametrize("msg", ["Fan 2 failed", "PSU 1: no input", "antenna blocked"])
    def test_a_device_that_no_pack_knows_is_understood(self, msg):
        found = self.JUDGE.judge(line(msg, service="acme-x9")).anomaly
        assert found and found.anomaly_type not in ("log_error", "log_critical")

    @pytest.mark.parametrize(
        "msg", ["Fan 2 is ok", "no fan failed", "alarm when a fan fails", "fan failure cleared"]
    )
    def test_good_news_and_denials_are_no_anomaly(self, msg):
        assert self.JUDGE.judge(line(msg, service="acme-x9")).anomaly is None


class TestCommand:
    def run(self, *words):
        return CliRunner().invoke(app, ["packs", *words])

    def test_try_says_which_rule_takes_a_line_and_why(self, tmp_path):
        (tmp_path / "detect.yaml").write_text((POLICIES / "detect.yaml").read_text())
        write(tmp_path, pack(PUMP), pack(PUMP, kind="topic", id_="other"))
        done = self.run("try", "pump 3 broke", "--json", "--policies", str(tmp_path))
        told = json.loads(done.output)
        assert (told["rule"], told["component"], told["state"]) == ("acme/broke", "pump 3", "raise")
        assert told["lost"] == [{"rule": "other/broke", "why": "a maker pack beats a topic one"}]

    def test_check_of_one_file_tells_which_lines_of_others_it_takes_away(self, tmp_path):
        (tmp_path / "detect.yaml").write_text((POLICIES / "detect.yaml").read_text())
        greedy = {"anomaly_type": "temperature", "positive": ["pump 3 broke in two"]}
        broad = PUMP | {"regex": r"pump (?P<pump>\d+) broke(?: in two)?"} | greedy
        write(tmp_path, pack(PUMP), pack(broad | {"severity": "critical"}, id_="new"))
        problems, _ = examine(tmp_path, [tmp_path / "packs" / "new.yaml"])
        assert any("acme/broke: new/broke takes its positive line" in p.text for p in problems)

    def test_check_runs_the_samples(self, tmp_path):
        (tmp_path / "detect.yaml").write_text((POLICIES / "detect.yaml").read_text())
        wrong = PUMP | {"negative": ["pump 4 broke"], "positive": ["pump four broke"]}
        write(tmp_path, pack(wrong, normal=["pump 5 broke"]))
        problems, lines = examine(tmp_path)
        assert lines == 3
        assert [problem.text.split(": ")[2][:20] for problem in problems] == [
            "it does not take a p",
            "it takes a negative ",
            "a normal line is an ",
        ]
        done = self.run("check", "--policies", str(tmp_path))
        assert (done.exit_code, "3 mistakes" in done.output) == (2, True)

    def test_a_file_from_elsewhere_is_judged_as_if_it_were_a_pack(self, tmp_path):
        path = write(tmp_path, pack(PUMP)) / "packs/acme.yaml"
        done = self.run("check", str(path), "--policies", str(POLICIES))
        assert (done.exit_code, "2 samples, 0 mistakes" in done.output) == (0, True)

    def test_list_counts_and_names_what_is_left_out(self, tmp_path):
        (tmp_path / "detect.yaml").write_text((POLICIES / "detect.yaml").read_text())
        write(tmp_path, pack(PUMP), pack({}, id_="broken"))
        done = self.run("list", "--json", "--policies", str(tmp_path))
        good, bad = json.loads(done.output)
        assert (good["id"], good["patterns"], good["samples"]) == ("acme", 1, 2)
        assert (bad["id"], done.exit_code) == ("broken", 2)


def test_without_a_folder_there_are_no_packs(tmp_path: Path) -> None:
    assert load_packs(tmp_path) == Packs()
    with pytest.raises(Exception, match="missing"):
        load_pack(tmp_path / "packs/x.yaml", tmp_path)


def test_a_line_is_read_as_in_production() -> None:
    entry = entry_of("<27>Nov 30 11:58:07 sw-1 fand[7]: fan 2 failed")
    assert (entry.host, entry.service, entry.level.value) == ("sw-1", "fand", "error")
    assert isinstance(Judge(POLICY).judge(entry).winner, Pattern)
