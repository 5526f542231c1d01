"""What ends is what was meant: clears of the packs in force are about the same object."""

import pytest

from aiops_core.components import UNNAMED
from anomaly_detection.messages import message_of
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Pattern, Recovery
from anomaly_detection.samples import Judge, entry_of
from correlation_service.recoveries import GUESSED, RecoveryScope
from correlation_service.series import SeriesKey
from tests.conftest import ROOT

PORT = "<187>12: *Nov 30 11:58:07: %LINK-3-UPDOWN: Interface "
POLICY = DetectPolicy.load(ROOT / "policies")
JUDGE = Judge(POLICY)
OF_A_PROGRAM = {"service_down", "database_overload"}
# Of boxes of one purpose: what watches them says that the only thing they do has stopped.
OF_ONE_PURPOSE = {"ecdis/runs", "engine-monitoring/engine-runs", "plc-modbus/running"}


def of(text):
    return JUDGE.judge(entry_of(text)).finding


def ends(clear, raised):
    """Whether correlation may end *raised* by *clear*."""
    told = message_of(clear, entry_of(PORT))
    peer = str(raised.meta.get("peer") or "")
    series = SeriesKey(raised.source.service, "", peer, raised.component)
    return raised.anomaly_type in clear.anomaly_types and RecoveryScope.of(told).covers(series)


def found_by(rule):
    """What *rule* makes of its own samples, those that another rule takes aside."""
    judged = [JUDGE.judge(entry_of(text)) for text in rule.positive]
    return [one.finding for one in judged if one.winner is not None and one.winner.id == rule.id]


@pytest.mark.parametrize(
    ("raised", "clear"),
    [
        (
            "<3>Nov 30 11:58:07 srv-1 kernel: Out of memory: Killed process 812 (java)",
            "<30>Nov 30 11:58:08 srv-1 systemd[1]: Started Session 812 of User ops.",
        ),
        (
            "<28>Nov 30 11:58:07 srv-1 systemd[1]: ecdis-gw.service: Failed with result 'signal'.",
            "<30>Nov 30 11:58:08 srv-1 systemd[1]: Started Session 812 of User ops.",
        ),
        (
            f"{PORT}GigabitEthernet1/0/24, changed state to down",
            f"{PORT}GigabitEthernet1/0/3, changed state to up",
        ),
        (
            "<27>Nov 30 11:58:07 srv-1 mysqld[812]: [ERROR] Aborting",
            "<30>Nov 30 11:58:08 srv-1 ntpd[612]: Listen normally on 3 eth0 10.20.0.77:123",
        ),
    ],
)
def test_another_object_that_is_well_ends_nothing(raised, clear):
    told = of(clear)
    assert told is None or not ends(told, of(raised))


@pytest.mark.parametrize(
    ("raised", "clear"),
    [
        (
            "<12>Nov 30 11:58:07 ups-1 apcupsd[3]: Running on UPS batteries.",
            "<14>Nov 30 11:58:08 ups-1 apcupsd[3]: No longer on battery power",
        ),
        (
            "<12>Nov 30 11:58:07 box-7 thing: Running on battery power.",
            "<13>Nov 30 11:58:08 box-7 thing: No longer on battery power.",
        ),
        (
            f"{PORT}GigabitEthernet1/0/24, changed state to down",
            f"{PORT}Gi1/0/24, changed state to up",
        ),
    ],
)
def test_the_same_object_that_is_well_ends_it(raised, clear):
    assert ends(of(clear), of(raised))


@pytest.mark.parametrize(
    "text",
    [
        "<11>Nov 30 11:58:07 srv-1 kernel: Buffer I/O error on dev sdb1, logical block 0",
        "<27>Nov 30 11:58:07 srv-1 app[1]: SSL: certificate verify failed",
    ],
)
def test_one_error_of_a_disk_or_of_a_strangers_certificate_is_no_state(text):
    assert of(text).state is False


@pytest.mark.parametrize(
    "text",
    [
        "<30>Nov 30 11:58:07 srv-1 sshd[1]: Failed password for root from 203.0.113.7 port 4 ssh2",
        "<28>Nov 30 11:58:07 vpn-gw openvpn[2210]: AUTH: Received control message: AUTH_FAILED",
    ],
)
def test_a_failed_login_is_never_a_state(text):
    assert not of(text).state


def test_no_rule_about_logins_or_attacks_lasts():
    about = ("auth_failure", "credential_attack")
    rules = POLICY.patterns
    assert not [one.id for one in rules if one.anomaly_type in about and one.lasts]


@pytest.mark.parametrize("pack", POLICY.packs.loaded, ids=lambda pack: pack.pack.id)
def test_no_clear_of_a_pack_ends_another_part(pack):
    clears = [rule for rule in pack.rules if isinstance(rule, Recovery)]
    raises = [rule for rule in pack.rules if isinstance(rule, Pattern) and rule.scope]
    raised = [one for rule in raises for one in found_by(rule) if one.component]
    wrong = [
        (rule.id, clear.component, one.component)
        for rule in clears
        for clear in found_by(rule)
        for one in raised
        if ends(clear, one) and not (rule.whole or clear.peer or clear.component == one.component)
    ]
    assert not wrong


@pytest.mark.parametrize("pack", POLICY.packs.loaded, ids=lambda pack: pack.pack.id)
def test_no_clear_ends_what_another_program_says_of_itself(pack):
    """Where neither names a part, and the name of a program is not guessed."""
    other = SeriesKey("another", "", "", "")
    wrong = []
    for rule in (one for one in pack.rules if isinstance(one, Recovery)):
        if OF_A_PROGRAM.isdisjoint(rule.clears) or rule.id in OF_ONE_PURPOSE:
            continue
        for clear in found_by(rule):
            scope = RecoveryScope.of(message_of(clear, entry_of(PORT)))
            if scope.covers(other) and scope.sureness(other, clear.confidence) > GUESSED:
                wrong.append((rule.id, clear.reason))
    assert not wrong


def test_a_clear_that_names_no_part_ends_only_what_names_none():
    off = of("<14>Nov 30 11:58:08 ups-1 apcupsd[3]: No longer on battery power")
    on = of("<12>Nov 30 11:58:07 ups-1 apcupsd[3]: Running on UPS batteries.")
    overload = of("<12>Nov 30 11:58:07 ups-1 UPS: The output load exceeds the overload threshold.")
    assert off.component == UNNAMED
    assert ends(off, on)
    assert overload.component
    assert not ends(off, overload)


def test_what_is_about_the_whole_device_ends_all_parts():
    well = of("Nov 30 11:58:02 netapp-1 monitor: monitor.globalStatus.ok: status is normal.")
    assert well.component == ""


def test_a_clear_of_the_whole_has_no_scope():
    with pytest.raises(ValueError, match="no scope"):
        Recovery(
            id="x", regex="fan (?P<fan>\\d) is fine", scope=("fan",), whole=True,
            clears=("hardware_failure",), says="that all is well",
        )  # fmt: skip


def test_a_scoped_clear_names_parts_that_its_pack_raises():
    """A clear of ``peer`` never ends what is raised for a ``neighbour``."""
    dead = []
    for pack in POLICY.packs.loaded:
        raises = [rule for rule in pack.rules if isinstance(rule, Pattern)]
        for clear in (rule for rule in pack.rules if isinstance(rule, Recovery) and rule.scope):
            about = [one for one in raises if one.anomaly_type in clear.clears and one.scope]
            if about and not any(clear.may_end(one) for one in about):
                dead.append(clear.id)
    assert not dead
