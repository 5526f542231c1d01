"""A line → what it says: every format, its traps, and the year that syslog leaves out."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_cli.ingest.formats import Format, reader_for
from aiops_core.models import Level, LogEntry, MetricSample
from aiops_core.normaliser import times
from aiops_core.normaliser.parsed import ParsedLine, Unreadable

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def read(line: str, wanted: Format = Format.AUTO, name: str = "x.log") -> ParsedLine:
    content = reader_for(name, [line], NOW, wanted).read(line, NOW)
    assert isinstance(content, ParsedLine)
    return content


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestSyslog:
    def test_rfc3164_without_priority(self):
        p = read("Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 1.2.3.4")
        assert (p.ts, p.host, p.service) == (at("2025-12-10T06:55:46"), "LabSZ", "sshd")
        assert (p.level, p.msg) == (Level.WARNING, "Invalid user webmaster from 1.2.3.4")
        assert p.labels == {"process.pid": "24200"}

    def test_rfc3164_with_priority_takes_the_level_from_it(self):
        p = read("<11>Jun  1 11:00:00 fw1 kernel: all is well")
        assert (p.level, p.service, p.labels) == (Level.ERROR, "kernel", {"facility": "user"})

    @pytest.mark.parametrize(
        ("tag", "service", "msg", "labels"),
        [
            ("sshd(pam_unix)[19]: bad", "sshd", "bad", {"module": "pam_unix", "process.pid": "19"}),
            ("syslogd 1.4.1: restart.", "syslogd", "restart.", {}),
            ("/usr/sbin/cron[7]: x", "cron", "x", {"process.pid": "7"}),
            ("postfix/smtpd[7]: x", "postfix/smtpd", "x", {"process.pid": "7"}),
            (
                " -- root[2421]: ROOT LOGIN ON tty2",
                "root",
                "ROOT LOGIN ON tty2",
                {"process.pid": "2421"},
            ),
            ("last message repeated 2 times", None, "last message repeated 2 times", {}),
            ("app: a: b: c", "app", "a: b: c", {}),
            ("app:", "app", "", {}),
        ],
    )
    def test_tags(self, tag: str, service: str | None, msg: str, labels: dict[str, str]):
        p = read(f"Jul  7 23:26:40 combo {tag}")
        assert (p.host, p.service, p.msg, p.labels) == ("combo", service, msg, labels)

    def test_rfc5424(self):
        p = read(
            "<165>1 2026-05-31T22:14:15.003+02:00 mx evntslog 42 ID47 "
            r'[ex@1 iut="3" q="a \"b\" \]"][o x="1"] ' + "\ufeffAn event"
        )
        assert (p.ts, p.host, p.service) == (at("2026-05-31T20:14:15.003"), "mx", "evntslog")
        assert (p.level, p.msg) == (Level.INFO, "An event")
        assert p.labels == {
            "process.pid": "42",
            "msgid": "ID47",
            "facility": "local4",
            "ex@1.iut": "3",
            "ex@1.q": 'a "b" ]',
            "o.x": "1",
        }

    def test_rfc5424_of_nothing(self):
        p = read("<13>1 - - - - - -")
        assert (p.ts, p.host, p.service, p.msg, p.labels) == (
            None,
            None,
            None,
            "",
            {"facility": "user"},
        )

    def test_rsyslog(self):
        p = read("2026-05-31T22:14:15.003123+02:00 sw-1 snmpd[3]: Connection from UDP")
        assert (p.ts, p.host, p.service) == (at("2026-05-31T20:14:15.003123"), "sw-1", "snmpd")

    @pytest.mark.parametrize("line", ["<192>Jun  1 11:00:00 h a: x", "<1>1 yesterday h a - - - x"])
    def test_what_only_looks_like_syslog_is_plain_and_not_syslog(self, line: str):
        assert read(line).msg == line
        with pytest.raises(Unreadable, match="not syslog"):
            read(line, Format.SYSLOG)


class TestYear:
    @pytest.mark.parametrize(
        ("line", "now", "year"),
        [
            ("Jun  1 12:00:00", "2026-06-01T12:00:00", 2026),
            ("Jun  2 11:59:59", "2026-06-01T12:00:00", 2026),  # a clock that is ahead
            ("Jun  2 12:00:01", "2026-06-01T12:00:00", 2025),
            ("Dec 31 23:59:59", "2026-01-01T00:00:10", 2025),
            ("Jan  1 00:00:10", "2025-12-31T23:59:00", 2026),
            ("Feb 29 10:00:00", "2026-06-01T12:00:00", 2024),
        ],
    )
    def test_latest_that_is_not_in_the_future(self, line: str, now: str, year: int):
        when = times.rfc3164(line, at(now))
        assert when is not None
        assert when.year == year

    @given(st.integers(0, 3_000_000_000), st.integers(-363, 1))
    def test_a_date_within_the_last_year_is_found_again(self, second: int, days: int):
        now = datetime.fromtimestamp(second, UTC)
        then = (now + timedelta(days=days)).replace(microsecond=0)
        assert times.rfc3164(f"{then:%b %d %H:%M:%S}", now) == then

    @pytest.mark.parametrize("text", ["Foo  1 12:00:00", "Jun 31 12:00:00", "Jun  1 25:00:00"])
    def test_no_date(self, text: str):
        assert times.rfc3164(text, NOW) is None


class TestPlain:
    @pytest.mark.parametrize(
        ("line", "ts", "host", "service", "level", "msg"),
        [
            (
                "[Thu Jun 09 06:07:04 2005] [notice] LDAP: Built",
                *("2005-06-09T06:07:04", None, "apache", "info", "LDAP: Built"),
            ),
            (
                "[Thu Jun 09 06:07:04.123456 2005] [core:error] [pid 35:tid 1] [client ::1] x",
                *("2005-06-09T06:07:04.123456", None, "apache", "error", "[client ::1] x"),
            ),
            (
                "2015-07-29 17:41:44,747 - WARN  [Q[myid=1]/0:2181:FastLeader@774] - Time out: 3",
                *("2015-07-29T17:41:44.747", None, None, "warning", "Time out: 3"),
            ),
            (
                "134681 node-246 unix.hw psu 1077804742 1 psu failure",
                *("2004-02-26T14:12:22", "node-246", "unix.hw", "error", "psu failure"),
            ),
            (
                "[10.30 16:49:06] chrome.exe *64 - a:80 error : Could not connect",
                *(
                    "2025-10-30T16:49:06",
                    None,
                    "chrome.exe",
                    "error",
                    "a:80 error : Could not connect",
                ),
            ),
            (
                "2026/05/01 10:00:00 [crit] 12#0: disk",
                *("2026-05-01T10:00:00", None, "nginx", "critical", "disk"),
            ),
            (
                "2026-05-01T10:00:00.5Z INFO ready",
                *("2026-05-01T10:00:00.5", None, None, "info", "ready"),
            ),
            (
                "2026-05-01 10:00:00+02:00 [ERROR]: - gone",
                *("2026-05-01T08:00:00", None, None, "error", "gone"),
            ),
            (
                "2026-05-01 10:00:00 Error opening the door",
                *("2026-05-01T10:00:00", None, None, "error", "Error opening the door"),
            ),
            (
                "2026-05-01 10:00:00,123 ERROR: gone",
                *("2026-05-01T10:00:00.123", None, None, "error", "gone"),
            ),
            (
                "2026-05-01 10:00:00 connection refused",
                *("2026-05-01T10:00:00", None, None, "warning", "connection refused"),
            ),
            (
                '1.2.3.4 - bob [10/Oct/2025:13:55:36 -0700] "GET /error HTTP/1.0" 200 23',
                *("2025-10-10T20:55:36", None, "http", "info", '"GET /error HTTP/1.0" 200 23'),
            ),
        ],
    )
    def test_shapes(self, line, ts, host, service, level, msg):
        p = read(line)
        assert (p.ts, p.host, p.service, p.level, p.msg) == (at(ts), host, service, level, msg)

    def test_anything_else_is_its_own_message(self):
        assert read("  bilge pump 2 failed ") == ParsedLine("bilge pump 2 failed", Level.ERROR)

    def test_forced_plain_does_not_look_for_syslog_or_json(self):
        assert read("Jun  1 11:00:00 h a: x", Format.PLAIN).host is None
        assert read('{"msg": "x"}', Format.PLAIN).msg == '{"msg": "x"}'


class TestJson:
    @pytest.mark.parametrize("time", ["ts", "time", "timestamp", "@timestamp"])
    @pytest.mark.parametrize("level", ["level", "severity", "lvl"])
    @pytest.mark.parametrize("msg", ["msg", "message", "log"])
    def test_usual_names(self, time: str, level: str, msg: str):
        p = read(json.dumps({time: "2026-05-01T10:00:00Z", level: "WARN", msg: "hot"}))
        assert (p.ts, p.level, p.msg) == (at("2026-05-01T10:00:00"), Level.WARNING, "hot")

    def test_the_rest_becomes_labels(self):
        p = read(
            '{"msg":"m","hostname":"h","app":"a","device_id":"d","n":3,"o":{"k":[1]},"z":null}'
        )
        assert (p.host, p.service, p.device_id) == ("h", "a", "d")
        assert p.labels == {"n": "3", "o.k": "[1]"}

    @pytest.mark.parametrize(
        "time", [1777629600, 1777629600000, 1777629600000000, "1777629600", "1777629600.0"]
    )
    def test_epochs_of_any_unit(self, time: object):
        assert read(json.dumps({"time": time, "msg": "m"})).ts == at("2026-05-01T10:00:00")

    @pytest.mark.parametrize(
        "time", ["yesterday", -5, 10**400, True, [1], "0001-01-01T00:00:00+02:00"]
    )
    def test_a_time_that_is_none_stays_as_a_label(self, time: object):
        p = read(json.dumps({"time": time, "msg": "m"}))
        assert p.ts is None
        assert "time" in p.labels

    def test_a_level_that_is_none_stays_as_a_label(self):
        p = read('{"level": "purple", "msg": "disk error"}')
        assert (p.level, p.labels) == (Level.ERROR, {"level": "purple"})

    @pytest.mark.parametrize(("level", "found"), [(50, "error"), (3, "error"), ("3", "error")])
    def test_levels_as_numbers(self, level: object, found: str):
        assert read(json.dumps({"level": level, "msg": "m"})).level == found

    def test_without_a_message_the_line_is_the_message(self):
        assert read('{"a": 1}').msg == '{"a": 1}'

    def test_a_complete_message_is_taken_as_it_is(self):
        entry = LogEntry(tracking_id="t", ship_id="s", ts=NOW, host="h", msg="m")
        sample = MetricSample(
            tracking_id="t", ship_id="s", ts=NOW, host="h", metric="m", value=1, service="x"
        )
        for message in (entry, sample):
            line = message.model_dump_json()
            assert reader_for("x", [line], NOW).read(line, NOW) == message

    @pytest.mark.parametrize("ts", ["never", "0001-01-01T00:00:00+02:00", "1960-01-01T00:00:00Z"])
    def test_a_complete_message_with_a_wrong_value_is_refused(self, ts: str):
        fields = {"tracking_id": "t", "ship_id": "s", "ts": ts, "host": "h", "msg": "m"}
        with pytest.raises(Unreadable, match="not a LogEntry"):
            read(json.dumps(fields))

    @pytest.mark.parametrize(
        "line", ['{"a": ', '{"a" 1}', '{"a": 1} x', '{"a":' * 5000, '{"a": ' + "9" * 5000 + "}"]
    )
    def test_broken_json_in_a_json_file_is_refused(self, line: str):
        reader = reader_for("x", ['{"msg": "1"}', '{"msg": "2"}', line], NOW)
        with pytest.raises(Unreadable, match="broken JSON"):
            reader.read(line, NOW)

    def test_other_text_in_a_json_file_is_refused_unless_its_shape_is_known(self):
        reader = reader_for("x.jsonl.1.gz", ["garbage"], NOW)
        with pytest.raises(Unreadable, match="not a JSON object"):
            reader.read("garbage", NOW)
        assert reader.read("Jun  1 11:00:00 h a: x", NOW).service == "a"

    def test_forced_json_takes_nothing_else(self):
        for line in ("[1]", "Jun  1 11:00:00 h a: x", "{"):
            with pytest.raises(Unreadable):
                read(line, Format.JSON)


def test_a_mixed_file_is_read_line_by_line():
    lines = ["Jun  1 11:00:00 h a: x", '{"msg": "m"}', "{ no json", "[10.30 16:49:06] b - c"]
    reader = reader_for("x.log", lines, NOW)
    assert [reader.read(line, NOW).msg for line in lines] == ["x", "m", "{ no json", "c"]


@given(st.text(max_size=300), st.sampled_from(Format))
def test_no_text_crashes_a_reader(line: str, wanted: Format):
    try:
        assert reader_for("x", [line], NOW, wanted).read(line, NOW) is not None
    except Unreadable as exc:
        assert str(exc)
