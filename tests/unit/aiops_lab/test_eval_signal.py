"""Logs -> what a person is told of them, and the counts of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from aiops_cli import app
from aiops_cli.ingest.files import LONGEST_LINE
from aiops_core.errors import Misconfigured
from aiops_core.models import Domain, EnrichedAnomaly, Severity
from aiops_lab.evaluation.signal.faults import is_no_fault, judge_faults
from aiops_lab.evaluation.signal.logs import logs_in
from aiops_lab.evaluation.signal.replay import HOST, JudgingPolicies, replay
from aiops_lab.evaluation.signal.report import largest, plot
from aiops_lab.evaluation.signal.scores import judge_log, kind_of, total
from aiops_lab.evaluation.signal.told import ShownLine, ToldIncident, ToldLog, items, told_again
from aiops_lab.evaluation.signal.truth import NO_FAULT, Expected, LogTruth
from aiops_lab.evaluation.signal.vague import is_vague, without_counts
from tests.conftest import ROOT

POLICIES = JudgingPolicies.load(ROOT / "policies")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FAN = LogTruth.model_validate(
    {
        "faults": [
            {
                "id": "fan",
                "what": "a fan has failed",
                "when": "twice",
                "lines": "fan \\d+ failed",
                "times": 2,
                "devices": ["sw-*"],
                "says": "fan",
            }
        ],
        "no_fault": [{"what": "it runs", "lines": "all is well"}],
    }
)
EACH = FAN.model_copy(
    update={
        "faults": (FAN.faults[0].model_copy(update={"devices": ("sw-1", "sw-2"), "each": True}),)
    }
)

VAGUE = [
    ("Errors of apache on vm", "vm", "apache"),
    ("Errors of logrotate on combo", "combo", "logrotate"),
    ("Errors of chrome.exe on vm", "vm", "chrome.exe"),
    ("Errors of chrome on vm", "vm", "chrome.exe"),
    ("Errors of sshd on srv-1", "srv-1", "sshd(pam_unix)[812]"),
    ("Unusual activity on srv-1", "srv-1", ""),
    ("Many errors on srv-1", "srv-1", ""),
    ("New template on vm", "vm", "zookeeper"),
    ("Critical message of gige on gige7", "gige7", "gige"),
    ("Single errors on combo that nothing connects", "combo", ""),
    ("Single errors on 6 devices that nothing connects", "node-12", "node"),
    ("Errors of node on node-27, 3 more devices affected", "node-27", "node"),
    ("Error burst on nas-1 (flapping)", "nas-1", ""),
    ("Log rate spike on fw-1", "fw-1", ""),
    ("log_error on fw-1", "fw-1", ""),
    ("Unusual mix of lines on vm", "vm", ""),
    ("Hardware failure on node-118", "node-118", "node"),
    ("Security event on fw-1 from 203.0.113.9", "fw-1", "filterlog"),
    ("Service error on SRV-1.ship.local", "srv-1.ship.local", ""),
    ("Problem with the program mailer since 04:02, daily (43rd time)", "srv-1", "mailer"),
    ("apache failed on vm, 12 times", "vm", "apache"),
    ("Unknown exception 0x80070005 of svchost on pc-4", "pc-4", "svchost"),
    ("Metric outlier on engine-1", "engine-1", ""),
    ("Level shift of the readings of engine-1 since 2026-11-30 04:02", "engine-1", ""),
    ("", "vm", ""),
]
CLEAR = [
    ("Power supply 2 failed on node-3", "node-3", "node"),
    ("logrotate exits abnormally on combo, daily at 04:02 (43rd time)", "combo", "logrotate"),
    ("apache is down on vm", "vm", "apache"),
    ("vm is unreachable", "vm", ""),
    ("node-55 restarted", "node-55", "action"),
    ("Degraded link on Interconnect-1T01", "Interconnect-1T01", "switch_module"),
    ("Disk full on node-D3", "node-D3", "clusterfilesystem"),
    ("Credential attack on combo from 218.188.2.4", "combo", "sshd(pam_unix)"),
    ("Failed logins on combo", "combo", "klogind"),
    ("mod_jk does not reach its workers on vm", "vm", "apache"),
    ("Errors on Gi1/0/24 of sw-acc-09", "sw-acc-09", "ifmgr"),
    ("SIP trunk to shore unreachable", "pbx-1", "asterisk"),
    ("Temperature alarm on Interconnect-0N00", "Interconnect-0N00", ""),
    ("Out of memory on srv-1", "srv-1", "kernel"),
    ("Clock of gps-1 is wrong", "gps-1", ""),
    ("No data from engine-1", "engine-1", ""),
    ("cpu_percent of srv-1 is unusual", "srv-1", ""),
    ("sw-core is probably down: 4 devices that need it have lost it", "sw-core", ""),
    ("Kernel panic on srv-1", "srv-1", "kernel"),
    ("Proxy refuses connections of chrome.exe on pc-4", "pc-4", "chrome.exe"),
    ("Configuration of fw-1 was changed", "fw-1", ""),
    ("Certificate of mail-1 expired", "mail-1", ""),
]


@pytest.mark.parametrize(("title", "device", "service"), VAGUE)
def test_a_title_without_object_and_event_is_vague(title, device, service):
    assert is_vague(title, device, service)


@pytest.mark.parametrize(("title", "device", "service"), CLEAR)
def test_a_title_that_says_what_happened_or_to_what_is_not_vague(title, device, service):
    assert not is_vague(title, device, service)


def test_a_name_within_a_longer_one_is_another_name():
    assert is_vague("Errors on sw-1", "sw-1")
    assert not is_vague("Errors on sw-1-mgmt", "sw-1")
    assert not is_vague("Errors of my-apache", "vm", "apache")


@pytest.mark.parametrize(
    "title",
    [
        "logrotate exits abnormally on combo, daily at 04:02 (43rd time)",
        "logrotate exits abnormally on combo, daily at 04:10 (2nd time)",
    ],
)
def test_counts_and_times_make_no_other_title(title):
    assert without_counts(title) == "logrotate exits abnormally on combo, daily at"


def anomaly(n, device="sw-1", template="", msg="fan 2 failed", **fields):
    return EnrichedAnomaly(
        tracking_id=f"line-{n}",
        ship_id="ship",
        ts=NOW + timedelta(minutes=n),
        domain=Domain.SYSTEM,
        anomaly_type="hardware_failure",
        service="envd",
        host=device,
        detector="pattern",
        score=0.9,
        severity=Severity.HIGH,
        msg=msg,
        template_id=template or None,
        **fields,
    )


def incident(n, title="Fan 2 failed on sw-1", device="sw-1", members=(), problem="p", **fields):
    members = members or (anomaly(n, device, **fields),)
    return ToldIncident(f"incident-{n}", problem, title, device, members[0], members)


def test_occurrences_of_one_problem_are_one_item_and_told_once():
    again = incident(2, "Fan 2 failed on sw-1 (2nd time)")
    told = items([incident(1), again, incident(3, "Fan 2 failed on sw-2", "sw-2", problem="q")], 3)
    assert [len(item.incidents) for item in told] == [2, 1]
    assert told_again(told) == 0


def test_another_problem_with_the_title_of_an_earlier_one_is_told_again():
    other = incident(2, "Fan 2 failed on sw-1 (2nd time)", problem="q")
    assert told_again(items([incident(1), other], 3)) == 1


def on_devices(title, *devices):
    """An incident with *title* on each, all of one spread."""
    return [
        replace(incident(n, f"{title} on {device}", device, problem=device), spread="s")
        for n, device in enumerate(devices)
    ]


def test_problems_of_one_spread_are_one_item_on_enough_devices():
    told = items([*on_devices("Fan 2 failed", "sw-1", "sw-2", "sw-3"), incident(9)], 3)
    assert [(item.title, len(item.incidents)) for item in told] == [
        ("Fan 2 failed on 3 devices", 3),
        ("Fan 2 failed on sw-1", 1),
    ]
    assert len(items(on_devices("Fan 2 failed", "sw-1", "sw-2"), 3)) == 2
    assert len(items(on_devices("Fan 2 failed", "sw-1", "sw-1", "sw-2"), 3)) == 2


def test_of_a_problem_the_newest_incident_says_which_spread_it_is_of():
    spread = on_devices("Fan 2 failed", "sw-1", "sw-2", "sw-3")
    later = replace(spread[0], id="later", spread="another")
    assert [len(item.incidents) for item in items([*spread, later], 3)] == [2, 2]


def test_the_title_of_a_spread_may_be_vague_too():
    [item] = items(on_devices("Errors of mailer", "sw-1", "sw-2", "sw-3"), 3)
    assert item.title == "Errors of mailer on 3 devices" and item.vague == 0
    [item] = items(on_devices("Errors", "sw-1", "sw-2", "sw-3"), 3)
    assert item.vague == 4


def test_a_title_is_vague_if_it_has_only_the_name_of_some_program_of_the_incident():
    members = (anomaly(1), anomaly(2).but(service="mailer"))
    assert incident(1, "Errors of mailer on sw-1", members=members).vague
    assert not incident(1, "Errors of squid on sw-1", members=members).vague


def test_the_other_side_says_who_and_not_what():
    other = {"meta": {"peer": "host-9.example.net"}}
    assert incident(1, "Security event on sw-1 from host-9.example.net", **other).vague
    attack = incident(1, "Credential attack on sw-1 from host-9.example.net", **other)
    assert not attack.vague
    assert kind_of(attack).title == "credential attack on … from …"


def log(incidents, shown, lines=1000):
    return ToldLog("a.log", lines, 0, len(incidents), incidents, shown)


def lines_of_fans(*devices):
    return {
        f"line-{n}": ShownLine(device, frozenset({"fan"})) for n, device in enumerate(devices, 1)
    }


def test_a_fault_is_found_by_its_evidence_and_named_by_a_title():
    shown = lines_of_fans("sw-1", "sw-2")
    told = [incident(1)]
    [fault] = judge_faults(FAN, log(told, shown), items(told, 3))
    assert fault.found and fault.named
    assert (fault.lines, fault.devices, fault.told, fault.incidents) == (2, 2, 1, 1)
    told = [incident(1, "Hardware failure on sw-1")]
    [fault] = judge_faults(FAN, log(told, shown), items(told, 3))
    assert fault.found and not fault.named


def test_a_fault_that_everybody_must_mend_where_it_is_counts_for_each_device():
    told = [incident(1), incident(2)]
    first, second = judge_faults(EACH, log(told, lines_of_fans("sw-1", "sw-2")), items(told, 3))
    assert (first.device, first.found) == ("sw-1", True)
    assert (second.device, second.found) == ("sw-2", True)
    first, second = judge_faults(
        EACH, log(told[:1], lines_of_fans("sw-1", "sw-2")), items(told[:1], 3)
    )
    assert first.found and not second.found


def test_a_fault_is_not_found_by_other_lines_or_on_a_wrong_device():
    shown = lines_of_fans("sw-1", "sw-2")
    told = [incident(7)]  # its line shows no fault
    [fault] = judge_faults(FAN, log(told, shown), items(told, 3))
    assert not fault.found and not fault.named
    shown = lines_of_fans("relay", "relay")  # read to be of another device
    [fault] = judge_faults(FAN, log([incident(1)], shown), items([incident(1)], 3))
    assert not fault.found and fault.lines == 0


def test_another_log_of_the_same_name_is_refused():
    with pytest.raises(Misconfigured, match=r"a\.log: 1 lines show the fault fan, and 2 in the"):
        judge_faults(FAN, log([], lines_of_fans("sw-1")), [])


def test_an_item_of_lines_that_a_person_passes_over_is_no_fault():
    shown = lines_of_fans("sw-1", "sw-1")
    shown["line-1"] = ShownLine("sw-1", frozenset({NO_FAULT}))
    [quiet] = items([incident(1)], 3)
    assert is_no_fault(quiet, shown)
    [mixed] = items([incident(1, members=(anomaly(1), anomaly(2)))], 3)
    assert not is_no_fault(mixed, shown)
    [unknown] = items([incident(9)], 3)
    assert not is_no_fault(unknown, shown)


def test_scores_count_and_add_up():
    other = incident(3, "Errors of envd on sw-9", "sw-9", problem="q")
    told = [incident(1), incident(2), other]
    with_truth = judge_log(log(told, lines_of_fans("sw-1", "sw-1")), FAN)
    scores = with_truth.scores
    assert (scores.incidents, scores.items, scores.again) == (3, 2, 0)
    assert (scores.vague, scores.single) == (1, 3)
    assert (scores.faults, scores.lost, scores.named, scores.no_fault) == (1, 0, 1, 0)
    assert scores.items_per_1000 == 2 and not scores.on_target
    without = judge_log(log([incident(5)], {}, lines=500)).scores
    assert (without.faults, without.lost, without.no_fault) == (None, None, None)
    assert without.on_target
    both = total([scores, without])
    assert (both.lines, both.incidents, both.faults) == (1500, 4, 1)
    assert total([without]).lost is None
    assert not judge_log(log([], lines_of_fans("sw-1", "sw-1")), FAN).scores.on_target  # lost


def test_kinds_of_titles_have_neither_devices_nor_addresses_nor_numbers():
    kind = kind_of(incident(1, "Credential attack on sw-1 from 203.0.113.9 (3rd time)"))
    assert kind.title == "credential attack on … from …"
    assert kind.maker == "pattern: hardware_failure"
    assert kind_of(incident(1, meta={"rule": "acme/fan"})).maker == "acme/fan"


def test_what_is_expected_of_known_logs_can_be_read():
    expected = Expected.load()
    assert {"Apache_2k.log", "OpenSSH_2k.log"} <= expected.logs.keys()
    linux = expected.logs["Linux_2k.log"]
    line = "Jun 15 04:06:20 combo logrotate: ALERT exited abnormally with [1]"
    assert linux.shows(line) == {"logrotate"}
    assert linux.shows("Jun 15 04:06:18 combo su(pam_unix)[1]: session opened") == {NO_FAULT}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"lines": "fan ("}, "regular expression"),
        ({"times": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_expectation_is_named(tmp_path, wrong, told):
    fault = {**FAN.faults[0].model_dump(mode="json"), **wrong}
    file = tmp_path / "expected.yaml"
    file.write_text(json.dumps({"logs": {"a.log": {"faults": [fault]}}}))
    with pytest.raises(Misconfigured, match=told):
        Expected.load(file)


def stated(minute, text, host="sw-1", level=27):
    return f"<{level}>Nov 30 11:{minute:02}:07 {host} envd: {text}"


def test_a_log_is_replayed_by_its_own_clock(tmp_path):
    file = tmp_path / "sw.log"
    lines = [stated(1, "fan 2 failed"), stated(1, "all is well", level=30)]
    lines += [stated(50, "fan 2 failed", host="sw-2"), "x" * (LONGEST_LINE + 1)]
    file.write_text("\n".join(lines) + "\n")
    told = replay(file, POLICIES, NOW, FAN.shows)
    assert (told.lines, told.refused, told.anomalies) == (3, 1, 2)
    assert [one.device for one in told.incidents] == ["sw-1", "sw-2"]
    assert [one.members[0].ts.hour for one in told.incidents] == [11, 11]
    assert {(one.device, *one.faults) for one in told.shown.values()} == {
        ("sw-1", "fan"),
        ("sw-1", NO_FAULT),
        ("sw-2", "fan"),
    }
    assert judge_log(told, FAN).scores.lost == 0


def test_a_fault_that_comes_back_later_is_told_as_correlation_decides(tmp_path):
    """Nothing of the log arrives at once: what was over by its clock is over. The next day it is
    known, and no news; after weeks it is, as the second time of one problem."""
    file = tmp_path / "app.log"
    lines = [
        f"2026-11-{day:02} 04:02:{second:02} ERROR db pool exhausted"
        for day in (1, 2, 20)
        for second in range(9)
    ]
    file.write_text("\n".join(lines) + "\n")
    told = replay(file, POLICIES, NOW)
    assert {one.device for one in told.incidents} == {HOST}
    assert [one.members[0].ts.day for one in told.incidents] == [1, 20]
    assert len(items(told.incidents, told.least)) == 1


def test_a_file_without_a_line_is_refused_by_name(tmp_path):
    file = tmp_path / "empty.log"
    file.write_text("\n\n")
    with pytest.raises(Misconfigured, match=r"empty\.log: has no line"):
        replay(file, POLICIES, NOW)
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(Misconfigured, match="zip archive"):
        replay(file, POLICIES, NOW)


def test_logs_of_a_folder_are_known_by_their_names(tmp_path):
    (tmp_path / "old").mkdir()
    names = ("a.log", "old/b.log.2.gz", "old/syslog", "c.log-20261130.xz", "messages.1")
    for name in (*names, "a.log_structured.csv", "LICENSE", "catalogue", "notes.md"):
        (tmp_path / name).write_text("x\n")
    assert logs_in([tmp_path]) == sorted(tmp_path / name for name in names)
    alone = tmp_path / "LICENSE"
    assert logs_in([alone, alone]) == [alone]


@pytest.mark.parametrize(("name", "why"), [("", "no log in it"), ("away", "no such file")])
def test_a_place_without_logs_is_named(tmp_path, name, why):
    with pytest.raises(Misconfigured, match=why):
        logs_in([tmp_path / name])


def test_the_command_writes_numbers_and_a_picture(tmp_path):
    (tmp_path / "sw.log").write_text(stated(1, "fan 2 failed") + "\n" + stated(2, "ok") + "\n")
    (tmp_path / "empty.log").write_text("")
    file, plots = tmp_path / "numbers.json", tmp_path / "plots"
    options = ["--json", str(file), "--plots", str(plots), "--policies", str(ROOT / "policies")]
    done = CliRunner().invoke(
        app, ["eval", "signal", str(tmp_path), *options], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert "not reached" in done.output and "left out" in done.output
    numbers = json.loads(file.read_text())
    [sw] = numbers["logs"]
    assert numbers["total"]["incidents"] == sw["items"] == sw["titles"][0]["incidents"] == 1
    assert numbers["total"]["items_per_1000"] == 500
    assert [text.endswith("empty.log: has no line") for text in numbers["left_out"]] == [True]
    assert (plots / "signal.png").stat().st_size > 5000


def test_the_picture_and_the_largest_kinds_are_of_all_logs(tmp_path):
    one = judge_log(log([incident(1), incident(2)], {}))
    other = judge_log(log([incident(3, "Link down on sw-1")], {}))
    [(_, kind, n), *_] = largest([one, other])
    assert (kind.title, n) == ("fan N failed on …", 2)
    assert plot([one, other], tmp_path).stat().st_size > 5000


def test_logs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for host in ("srv-1", "srv-2"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "auth.log").write_text(stated(1, "fan 2 failed") + "\n")
    (tmp_path / "sw.log").write_text(stated(1, "fan 2 failed") + "\n")
    done = CliRunner().invoke(
        app,
        ["eval", "signal", str(tmp_path), "--policies", str(ROOT / "policies")],
        catch_exceptions=False,
        env={"COLUMNS": "250"},
    )
    assert all(
        f"│ {name} " in done.output for name in ("srv-1/auth.log", "srv-2/auth.log", "sw.log")
    )


def test_a_folder_of_which_nothing_can_be_judged_is_refused(tmp_path):
    (tmp_path / "empty.log").write_text("")
    with pytest.raises(Misconfigured, match="no log could be judged"):
        CliRunner().invoke(
            app,
            ["eval", "signal", str(tmp_path), "--policies", str(ROOT / "policies")],
            catch_exceptions=False,
        )


def test_a_missing_folder_and_no_default_end_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured, match="no loghub there"):
        CliRunner().invoke(app, ["eval", "signal"], catch_exceptions=False)
