"""What ends is what was meant: clears of the packs in force are about the same object."""

import pytest

from anomaly_detection.policy import DetectPolicy
from anomaly_detection.samples import Judge, entry_of
from tests.conftest import ROOT

PORT = "<187>12: *Nov 30 11:58:07: %LINK-3-UPDOWN: Interface "
JUDGE = Judge(DetectPolicy.load(ROOT / "policies"))


def of(text):
    return JUDGE.judge(entry_of(text)).finding


def ends(clear, raised):
    """Whether correlation may end *raised* by *clear*, as AnomalyCleared says it."""
    same_service = clear.source.service in ("unknown", raised.source.service)
    same_part = clear.component in ("", raised.component)
    return raised.anomaly_type in clear.anomaly_types and same_service and same_part


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
    rules = DetectPolicy.load(ROOT / "policies").patterns
    assert not [one.id for one in rules if one.anomaly_type in about and one.lasts]
