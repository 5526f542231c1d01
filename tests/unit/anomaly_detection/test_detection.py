"""Lines and readings in, at most one anomaly each out; the policy."""

import pytest

from aiops_core.errors import Misconfigured
from aiops_core.models import (
    AnomalyDetected,
    Level,
    Severity,
)
from anomaly_detection.detection import Detection
from anomaly_detection.messages import MSG_KEPT
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT, line, sample

POLICY = DetectPolicy.load(ROOT / "policies")


async def judged(msg, detection=None, **fields):
    return (detection or Detection(POLICY)).on_line(line(msg, **fields))


async def found(msg, **fields):
    """(type, severity, detector, peer) of the one anomaly in a line."""
    (anomaly,) = await judged(msg, **fields)
    return anomaly.anomaly_type, anomaly.severity, anomaly.detector, anomaly.meta.get("peer")


class TestLines:
    async def test_an_ordinary_line_is_no_anomaly(self):
        assert await judged("session 4f opened for purser") == []

    async def test_an_error_line_that_no_rule_knows_is_judged_by_its_level(self):
        assert await found("flux capacitor out of range", level="error") == (
            "log_error",
            Severity.MEDIUM,
            "level",
            None,
        )

    async def test_a_pattern_beats_the_level_even_when_it_is_milder(self):
        anomaly = await found(
            "Failed password for purser from 198.51.100.9 port 4 ssh2",
            service="sshd",
            level="critical",
        )
        assert anomaly == ("auth_failure", Severity.LOW, "pattern", "198.51.100.9")

    async def test_a_crash_of_the_kernel_needs_somebody_who_can_know(self):
        crash = {"msg": "Kernel panic - not syncing", "level": "critical"}
        anomaly = await found(**crash, service="kernel")
        assert anomaly[:2] == ("kernel_panic", Severity.CRITICAL)
        assert (await found(**crash, service="nginx"))[0] == "log_critical"

    async def test_a_harmless_line_is_none_and_continuations_say_nothing(self):
        assert await judged("Bad checksum in NMEA sentence, dropped", level="error") == []
        more = {"level": "error", "labels": {"log.continues": "Error"}}
        assert await judged("  at out of memory", **more) == []

    async def test_one_wrong_password_of_a_crew_member_is_a_typing_mistake(self):
        typo = "Failed password for purser from 10.20.1.9 port 4 ssh2"
        assert await judged(typo, service="sshd") == []

    async def test_eight_wrong_passwords_from_one_address_in_a_minute_are_an_attack(self):
        detection, typo = Detection(POLICY), "Failed password for purser from 10.20.1.9 port 4 ssh2"
        lines = [await judged(typo, detection, service="sshd", n=n) for n in range(8)]
        assert [len(anomalies) for anomalies in lines] == [0] * 7 + [1]
        assert "8 lines in 7 s since 12:00:00 UTC" in lines[-1][0].reason

    async def test_the_anomaly_carries_the_sender_the_line_and_its_error(self):
        (anomaly,) = await judged(
            "write failed: No space left on device", device_id="srv-nvr-01", service="storage"
        )
        assert (anomaly.device_id, anomaly.host) == ("srv-nvr-01", "srv-1")
        assert anomaly.msg == "write failed: No space left on device"
        assert anomaly.error_msg == "No space left on device"
        assert anomaly.tracking_id == "l0"

    async def test_a_huge_line_is_judged_by_its_beginning_and_shortened(self):
        (anomaly,) = await judged("Out of memory: " + "x" * 400_000)
        assert len(anomaly.msg) == MSG_KEPT + 1


# What a watch officer would name when shown the line.
KNOWN = {
    "Invalid user webmaster from 173.234.31.186": "credential_attack",
    "Failed password for root from 5.36.59.76 port 42393 ssh2": "credential_attack",
    "Failed password for invalid user a from 103.99.0.122 port 1 ssh2": "credential_attack",
    "maximum authentication attempts exceeded for root from 1.2.3.4 "
    "port 7 ssh2": "credential_attack",
    "reverse mapping checking getaddrinfo for ns.x.com [1.2.3.4] failed - "
    "POSSIBLE BREAK-IN ATTEMPT!": "credential_attack",
    "authentication failure; logname= uid=0 tty=NODEVssh ruser= "
    "rhost=9.8.7.6  user=guest": "auth_failure",
    "Out of memory: Killed process 812 (java)": "memory_error",
    "Buffer I/O error on dev sdb1, logical block 0": "storage_error",
    "EXT4-fs error (device sda1): ext4_find_entry": "storage_error",
    "app[812]: segfault at 0 ip 00007f sp 00007f error 4": "service_error",
    "FATAL: sorry, too many clients already": "database_overload",
    "%LINK-3-UPDOWN: Interface GigabitEthernet0/3, changed state to down": "link_down",
    "eth0: NIC Link is Down": "link_down",
    "Rx carrier lock lost on beam NA-12": "signal_loss",
    "DHCPDISCOVER from 00:11 via eth0: network guest: no free leases": "dhcp_failure",
    "Temperature (41C) exceeds warning threshold": "temperature",
    "mod_jk child workerEnv in error state 6": "service_error",
    "ServerFileSystem domain root14_local is full": "disk_full",
}
KNOWN_WARNINGS = {
    "zone ship.lan/IN: temporary failure in name resolution": "dns_failure",
    "No selectable sources, clock skew exceeds limit": "time_drift",
    "UPS ups-rack-01 on battery, utility power failed": "power_event",
    "GPS fix lost": "position_loss",
    "Neighbour 192.0.2.1 down: hold timer expired": "link_down",
    "Default gateway unreachable": "device_unreachable",
    "System restarting, watchdog expired": "device_reboot",
    "Access point ap-d09-01 lost, cell switched off": "wifi_failure",
    "app.service: Failed with result 'exit-code'.": "service_down",
}
FINE = (
    "connection from 24.54.76.216 (24-54-76-216.example.net) at Fri Jun 17 07:07:00 2005",
    "Interface GigabitEthernet0/3, changed state to up",
    "Interface GigabitEthernet0/3, changed state to administratively down",
    "Account svc-backup unlocked, logins back to normal",
    "Carrier found, signal rising",
    "workerEnv.init() ok /etc/httpd/conf/workers2.properties",
    "Received disconnect from 52.80.34.196: 11: Bye Bye [preauth]",
    "session opened for user root by LOGIN(uid=0)",
    "BIOS-e820: 0000000000000000 - 00000000000a0000 (usable)",
    "0 errors on interface, link ok, battery self test passed, memory usage normal",
)


class TestPatterns:
    @pytest.mark.parametrize(("msg", "kind"), KNOWN.items())
    async def test_a_bad_line_has_a_name_whatever_its_level(self, msg, kind):
        assert (await found(msg))[0] == kind

    @pytest.mark.parametrize(("msg", "kind"), KNOWN_WARNINGS.items())
    async def test_a_bad_warning_has_a_name(self, msg, kind):
        assert (await found(msg, level="warning"))[0] == kind

    @pytest.mark.parametrize(
        "msg", ["directory bind succeeded", "Accepted password for ops from 198.51.100.11 port 22"]
    )
    async def test_a_login_that_succeeds_is_no_end_of_an_attack(self, msg):
        assert not await judged(msg, service="sshd")

    @pytest.mark.parametrize("msg", FINE)
    async def test_a_good_line_stays_quiet(self, msg):
        told = await judged(msg, service="ftpd")
        assert not any(isinstance(message, AnomalyDetected) for message in told)


class TestReadings:
    async def test_a_limit_broken_for_a_moment_is_no_anomaly(self):
        detection = Detection(POLICY)
        for n, value in enumerate([95, 40, 95, 40]):
            assert detection.on_sample(sample(value, n=5 * n)) == []

    async def test_a_limit_broken_for_longer_is_one_that_says_since_when(self):
        detection = Detection(POLICY)
        answers = [detection.on_sample(sample(95.2, n=5 * n, unit="%")) for n in range(5)]
        (anomaly,) = [a for answer in answers for a in answer]
        assert anomaly.anomaly_type == "resource_exhaustion"
        assert (anomaly.metric, anomaly.value, anomaly.threshold) == ("cpu_percent", 95.2, 90)
        assert anomaly.msg == "cpu_percent is 95.2 %, limit 90 %"
        assert "95.2 %, expected is at most 90 %" in anomaly.reason
        assert "since 12:00:00 UTC, for 10 s (tolerated: 9 s)" in anomaly.reason


def write(folder, text):
    (folder / DetectPolicy.file).write_text(text)
    return folder


AGREED = {
    *("credential_attack", "auth_failure", "link_down", "link_degraded", "signal_loss"),
    *("device_reboot", "device_unreachable", "disk_full", "storage_error", "database_overload"),
    *("service_error", "service_down", "resource_exhaustion", "memory_error", "kernel_panic"),
    *("position_loss", "time_drift", "power_event", "temperature", "dns_failure"),
    *("dhcp_failure", "wifi_failure", "log_error", "log_critical", "log_rate_spike"),
    *("hardware_failure", "certificate_error", "backup_failure", "config_change"),
    *("security_event", "license_expired"),
}


class TestPolicy:
    BEFORE = (ROOT / "policies" / "detect.yaml").read_text()

    @pytest.mark.parametrize(
        ("old", "new", "place", "mistake"),
        [
            ("series_kept: 20000", "series_kept: none", "series_kept", "valid integer"),
            ("below: 7,", "below: 7, above: 9,", "thresholds.0", "either above or below"),
            ("metric: snr_db,", "metrics: snr_db,", "thresholds.0.metric", "Field required"),
            ("id: rx-level", "id: snr", "", "used twice: snr"),
            ("  critical: {", "  dreadful: {", "levels.dreadful", "should be 'debug'"),
        ],
    )
    def test_a_mistake_is_named_with_file_line_and_key(self, tmp_path, old, new, place, mistake):
        assert old in self.BEFORE
        with pytest.raises(Misconfigured) as refused:
            DetectPolicy.load(write(tmp_path, self.BEFORE.replace(old, new, 1)))
        line_of_mistake = self.BEFORE[: self.BEFORE.index(old)].count("\n") + 1
        assert mistake in str(refused.value)
        assert f"detect.yaml:{line_of_mistake if place.count('.') > 1 else ''}" in str(
            refused.value
        )
        assert place in str(refused.value)

    def test_every_anomaly_type_is_of_the_agreed_vocabulary(self):
        rules = (*POLICY.patterns, *POLICY.bursts, *POLICY.thresholds, *POLICY.levels.values())
        assert {rule.anomaly_type for rule in rules} <= AGREED

    def test_levels_below_error_are_no_anomaly_by_themselves(self):
        assert set(POLICY.levels) == {Level.ERROR, Level.CRITICAL}
