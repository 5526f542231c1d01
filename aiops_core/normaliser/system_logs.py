"""Logs of systems and of server programs that write no syslog header. Pure.

Kernels (dmesg), OpenWrt's logread, ESXi, Windows' text logs, Asterisk, OpenVPN, mail and others.
"""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels, stated_levels, stated_times
from aiops_core.normaliser.app_format import (
    ALPHABET,
    CAPITALS,
    CTIME,
    ISO,
    MSG,
    labelled,
    row,
)
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine

_INITIALS = {
    "X": Level.CRITICAL,  # CUPS: emergency
    "A": Level.CRITICAL,
    "C": Level.CRITICAL,
    "E": Level.ERROR,
    "W": Level.WARNING,
    "N": Level.INFO,
    "I": Level.INFO,
    "D": Level.DEBUG,
    "d": Level.DEBUG,
}


def _initial(text: str) -> Level | None:
    return _INITIALS.get(text[:1])


# --------------------------------------------------------------------------------- kernel and ESXi
_ESX_LEVEL = {
    "Em": Level.CRITICAL,
    "Al": Level.CRITICAL,
    "Cr": Level.CRITICAL,
    "Er": Level.ERROR,
    "Wa": Level.WARNING,
    "No": Level.INFO,
    "In": Level.INFO,
    "Db": Level.DEBUG,
}
_ESX_WORD = re.compile(r"cpu\d+:\d+(?: opID=\w+)?\)(WARNING|ALERT|ERROR|INFO): ")
_ESX_VOB = re.compile(r"\[((?:esx|vob)\.[\w.]+)\]")
_ESX_PROCESS = re.compile(r"(?P<level>[a-z]+) (?P<program>[\w-]+)\[(?P<pid>\w+)\] ")
_ESX_SUB = re.compile(r"\[Originator@\d+ sub=([^\s\]]+)")


def esxi(line: ParsedLine) -> ParsedLine:
    """The level of a word within ESXi's message, its vob id and its subsystem."""
    word, process = _ESX_WORD.match(line.msg), _ESX_PROCESS.match(line.msg)
    level = line.level
    if word:
        level = stated_levels.word(word[1])
    elif process and (stated := stated_levels.word(process["level"])):
        level = stated
        line = labelled(line, pid=process["pid"])
    vob, sub = _ESX_VOB.search(line.msg[:300]), _ESX_SUB.search(line.msg[:200])
    return labelled(line._replace(level=level), event_id=vob and vob[1], provider=sub and sub[1])


_ESX_VMKERNEL = frozenset({"vmkernel", "vmkwarning"})


def esxi_payload(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """ESXi's own level within a message of syslog, whose priority is the same for all."""
    process = _ESX_PROCESS.match(line.msg)
    if process and "[Originator@" in line.msg[:100]:
        stated = stated_levels.word(process["level"])
        if stated is None:
            return None
        told = labelled(line, pid=process["pid"])
        return esxi(told._replace(level=stated, msg=line.msg[process.end() :]))
    word = _ESX_WORD.match(line.msg) if line.service in _ESX_VMKERNEL else None
    level = stated_levels.word(word[1]) if word else None
    return line._replace(level=level) if level and level is not line.level else None


def kernel_payload(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """A kernel's line with a priority and the time since its start: ``<3>[   12.3] …``."""
    found = _UPTIME.match(line.msg) if line.service is None else None
    return line._replace(service="kernel", msg=line.msg[found.end() :]) if found else None


_UPTIME = re.compile(r"\[ *\d{1,7}\.\d{6}\] ")
_DMESG_TIME = r"\[\ *\d{1,7}\.\d{6}\]"
_KMSG = re.compile(r"(\d{1,3}),\d+,\d+,[-+ca][^;]{0,80};(.*)", re.DOTALL)


class Kmsg:
    """``/dev/kmsg``: ``6,1234,5678901,-;message``."""

    name, syslog, starts, iso = "kmsg", False, DIGITS, False
    begins = _KMSG.pattern

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        found = _KMSG.match(line) if ";" in line else None
        if found is None or int(found[1]) > levels.HIGHEST_PRI:
            return None
        return ParsedLine(found[2].strip(), levels.from_pri(int(found[1])), service="kernel")


# ---------------------------------------------------------------------------------- Windows as text
_SNARE_TYPES = {
    "error": Level.ERROR,
    "warning": Level.WARNING,
    "information": Level.INFO,
    "success audit": Level.INFO,
    "failure audit": Level.WARNING,
    "audit success": Level.INFO,
    "audit failure": Level.WARNING,
    "critical": Level.CRITICAL,
    "verbose": Level.DEBUG,
}


class Snare:
    """``MSWinEventLog``, criticality, log, number, time, event id, source, user, … by tabs."""

    name, syslog, starts = "snare", False, ALPHABET + DIGITS
    has = "MSWinEventLog"

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not have this format."""
        at = line.find("MSWinEventLog", 0, 100)
        if at < 0:
            return None
        columns = line[at:].replace("#011", "\t").split("\t")
        if len(columns) < 12:
            columns = line[at:].split(",")
        if len(columns) < 12:
            return None
        _, _, channel, _, time, event_id, source, user, _, kind, host, task, *rest = columns
        number = len(rest) - 1 if rest and rest[-1].strip().isdecimal() and len(rest) > 1 else None
        msg = max(rest[:number], key=len, default="").strip()
        return labelled(
            ParsedLine(
                msg or f"{source}: event {event_id}",
                _SNARE_TYPES.get(kind.strip().lower()),
                stated_times.value(time, now),
                host.strip() or None,
                service=source.strip() or None,
            ),
            event_id=event_id.strip(),
            provider=source.strip(),
            task=task.strip() if task.strip() != "None" else None,
            user=user.strip() if user.strip() not in ("N/A", "Unknown User") else None,
            channel=channel,
        )


_DHCP = {  # what the number of Windows' DHCP server means, beyond what its text says
    "02": Level.ERROR,  # paused
    "13": Level.WARNING,  # address in use
    "14": Level.ERROR,  # no address left
    "15": Level.WARNING,
    "22": Level.ERROR,  # BOOTP: no address left
    "31": Level.WARNING,
    "33": Level.WARNING,
}


def _windows_dhcp(line: ParsedLine) -> ParsedLine:
    number = line.labels.get("event.id", "")
    return line._replace(level=_DHCP.get(number, Level.INFO))


_FAIL2BAN = re.compile(r"\[([^\]]+)\] (?:Ban|Unban|Found|Restore Ban) (\S+)")


def _fail2ban(line: ParsedLine) -> ParsedLine:
    found = _FAIL2BAN.match(line.msg)
    return labelled(line, jail=found[1], client=found[2]) if found else line


_MAIL_LEVEL = {
    "Info": Level.INFO,
    "Debug": Level.DEBUG,
    "Warning": Level.WARNING,
    "Error": Level.ERROR,
    "Fatal": Level.CRITICAL,
    "Panic": Level.CRITICAL,
}
_NAGIOS = {
    "CRITICAL": Level.ERROR,
    "DOWN": Level.ERROR,
    "UNREACHABLE": Level.ERROR,
    "WARNING": Level.WARNING,
    "UNKNOWN": Level.WARNING,
    "OK": Level.INFO,
    "UP": Level.INFO,
    "STARTED": Level.INFO,
    "STOPPED": Level.INFO,
}
_ASTERISK = "DEBUG|VERBOSE|DTMF|NOTICE|WARNING|ERROR|SECURITY|FAX"
_ASTERISK_LEVEL = {"SECURITY": Level.INFO, "DTMF": Level.DEBUG, "FAX": Level.INFO}


def _asterisk(word: str) -> Level | None:
    return _ASTERISK_LEVEL.get(word) or stated_levels.word(word)


ALL = (
    Snare(),
    row(
        "event reporter",
        rf"""(?:EvntSLog:\ ?(?:\d+:)?\ ?)?\[(?P<level>[A-Z]{{3,4}})\]\ (?P<time>{CTIME}):?
        \ (?P<host>[^/\s]+)/(?P<service>[^(]{{1,80}}?)\ \((?P<event_id>\d+)\)\ -\ {MSG}""",
        starts="E[",
        has=") - ",
    ),
    Kmsg(),
    row("dmesg", rf"{_DMESG_TIME}\ {MSG}", service="kernel", starts="[", has="."),
    row(
        "dmesg -x",
        rf"""(?P<facility>kern|user|daemon|syslog|auth)\s*:(?P<level>[a-z]+)\s*:
        \ (?:{_DMESG_TIME}|\[(?P<time>{CTIME})\])\ {MSG}""",
        service="kernel",
        starts="kudsa",
        has=":",
    ),
    row(
        "logread",
        rf"""(?P<time>{CTIME})\ (?P<facility>[a-z]+\d?)\.(?P<level>emerg|alert|crit|err|warn|notice
        |info|debug)\ (?P<service>[^\s\[:]+)(?:\[(?P<pid>\d+)\])?:\ {MSG}""",
        starts=CAPITALS,
        has=".",
    ),
    row(
        "freeradius",
        rf"""(?:\(\d+\)\ )?(?P<time>{CTIME})\ ?:
        \ (?:(?P<level>Info|Error|Warning|Debug|ERROR|WARNING|INFO)
        |(?P<kind>Auth|Proxy|Acct)):\ {MSG}""",
        service="radiusd",
        starts=CAPITALS + "(",
        has=": ",
    ),
    row(  # tor and others
        "date and level",
        r"""(?P<time>[A-Z][a-z]{2}\ [\ \d]\d\ [\d:.]{8,15})
        \ \[(?P<level>debug|info|notice|warn|warning|err|error|crit|critical|fatal)\]
        \ (?P<msg>.*)""",
        starts=CAPITALS,
        has="] ",
    ),
    row(  # BIND's own files, with category and severity
        "bind",
        rf"""(?P<time>\d\d-[A-Z][a-z]{{2}}-\d{{4}}\ [\d:.]{{8,12}})
        \ (?:(?P<provider>[a-z][a-z-]+):\ )?
        (?P<level>debug\ \d+|info|notice|warning|error|critical):\ {MSG}""",
        service="named",
        starts=DIGITS,
        has=": ",
        iso=False,
        level_of=lambda text: stated_levels.word(text.split()[0]),
    ),
    row(
        "kea",
        rf"""(?P<time>{ISO})\ (?P<level>[A-Z]{{4,5}})\ +
        \[(?P<service>kea-[\w-]+)\.(?P<module>[\w-]+)/(?P<pid>\d+)(?:\.\w+)?\]
        \ (?P<msg>(?P<event_id>[A-Z][A-Z0-9_]+).*)""",
        starts=DIGITS,
        has="kea-",
    ),
    row(
        "nagios",
        r"""\[(?P<time>\d{10})\]\ (?P<msg>(?:CURRENT\ |INITIAL\ )?(?:HOST|SERVICE)
        \ (?:FLAPPING\ ALERT|ALERT|NOTIFICATION|STATE|DOWNTIME\ ALERT):
        \ (?P<host>[^;]+);(?:[^;]+;)??
        (?P<level>OK|UP|WARNING|CRITICAL|DOWN|UNKNOWN|UNREACHABLE|STARTED|STOPPED)\b.*)""",
        service="nagios",
        starts="[",
        has=";",
        level_of=_NAGIOS.get,
    ),
    row(  # its level stands on the next line
        "java.util.logging",
        r"""(?P<time>[A-Z][a-z]{2}\ \d{1,2},\ \d{4},?\ [\d:]{7,8}\ [AP]M)
        \ (?P<msg>(?P<logger>[\w.$]+)(?:\ (?P<function>[\w$<>]+))?)""",
        starts=CAPITALS,
        has="M ",
        level=Level.INFO,
    ),
    row(
        "dmesg -T",
        rf"""\[(?P<time>{CTIME})\]\ (?!\[(?:\w*:)?(?:emerg|alert|crit|error|warn|notice|info|debug
        |trace\d)\])(?P<msg>.*)""",
        service="kernel",
        starts="[",
    ),
    row(
        "esxi",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,15}}Z)
        \ (?P<level>Em|Al|Cr|Er|Wa|No|In|Db)\(\d{{1,3}}\)
        \ (?P<service>[\w.-]+)(?:\[(?P<pid>\d+)\])?:\ {MSG}""",
        starts=DIGITS,
        has="(",
        level_of=lambda text: _ESX_LEVEL.get(text),
        finish=esxi,
    ),
    row(
        "esxi 6",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,15}}Z)\ (?P<level>[a-z]{{4,8}})
        \ (?P<service>[\w-]+)\[(?P<pid>\w+)\]\ {MSG}""",
        starts=DIGITS,
        has="Z ",
        finish=esxi,
    ),
    row(
        "vcenter",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,15}}(?:Z|[+-]\d\d:?\d\d))
        \ \[(?P<thread>\w+)\ (?P<level>[a-z]{{4,8}})\ '(?P<provider>[^']*)'
        (?:\ [^\]]*)?\]\ {MSG}""",
        starts=DIGITS,
        has=" '",
    ),
    row(
        "esxi program",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,15}}Z)(?::|\ (?P<service>vobd|vmkernel|vmkwarning
        |hostd|hostd-probe|vpxa|fdm|Rhttpproxy|Hostd|Vpxa|Fdm|vmksummary|sfcb-\w+|esxupdate
        |storageRM|vmauthd|smartd|vsanmgmtd|clomd|ESXShell|shell)(?:\[(?P<pid>\w+)\])?:)\ {MSG}""",
        service="vobd",
        starts=DIGITS,
        has="Z",
        finish=esxi,
    ),
    row(
        "vmkernel",
        r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]{8,15}Z)\ (?P<msg>cpu\d+:\d+.*)",
        service="vmkernel",
        starts=DIGITS,
        has="cpu",
        finish=esxi,
    ),
    row(
        "windows cbs",
        rf"""(?P<time>\d{{4}}-\d\d-\d\d\ [\d:]{{8}}),\ (?P<level>Info|Warning|Error|Perf)\ +
        (?P<service>[A-Z]{{2,8}})\ +{MSG}""",
        starts=DIGITS,
        has=", ",
        level=Level.DEBUG,
    ),
    row(
        "windows dfsr",
        rf"""(?P<time>\d{{8}}\ [\d:.]{{8,12}})\ +(?P<pid>\d+)\ +(?P<module>[A-Z]{{4}})\ +\d+
        \ +(?:\[(?P<level>[A-Z]+)\]\ )?{MSG}""",
        service="dfsr",
        iso=False,
        starts=DIGITS,
    ),
    row(
        "windows update",
        rf"""(?P<time>\d{{4}}[-/]\d\d[-/]\d\d[\t\ ][\d:.]{{8,16}})[\t\ ]+(?P<pid>\d+)[\t\ ]+
        (?P<thread>[0-9a-f]+)[\t\ ]+(?P<provider>[A-Z][A-Za-z]+)[\t\ ]+
        (?:(?P<level>WARNING|FATAL|ERROR):\ )?{MSG}""",
        service="windows-update",
        starts=DIGITS,
    ),
    row(
        "windows dhcp",
        r"""(?P<event_id>\d\d),(?P<time>\d\d/\d\d/\d\d,[\d:]{8}),(?P<msg>(?P<what>[^,]*),
        (?P<client>[^,]*),(?P<name>[^,]*),(?P<mac>[^,]*).*)""",
        service="dhcp-server",
        iso=False,
        starts=DIGITS,
        has=",",
        finish=_windows_dhcp,
    ),
    row(
        "veeam",
        rf"""\[(?P<time>\d\d\.\d\d\.\d{{4}}\ [\d:.]{{8,12}})\]\ <(?P<thread>\d+)>\ +
        (?P<level>[A-Z][a-z]+)\ +(?:\(\d+\)\ )?{MSG}""",
        service="veeam",
        starts="[",
        has="] <",
    ),
    row(
        "cups",
        rf"(?P<level>[XACEWNIDd])\ \[(?P<time>[^\]]{{20,30}})\]\ {MSG}",
        service="cups",
        starts="XACEWNIDd",
        has=" [",
        level_of=_initial,
    ),
    row(
        "samba",
        r"""\[(?P<time>\d{4}/\d\d/\d\d\ [\d:.]{8,15}),\ +(?P<debug_level>\d+)(?:,[^\]]*)?\]
        (?:\ (?P<place>\S+\.c:\d+)\((?P<function>\w+)\))?\s*(?P<msg>.*)""",
        service="samba",
        starts="[",
        has="/",
        finish=lambda line: line._replace(msg=line.msg or line.labels.get("code.file.path", "")),
    ),
    row(
        "asterisk",
        rf"""\[(?P<time>[A-Z][a-z]{{2}}\ [\ \d]\d\ [\d:.]{{8,12}}|{ISO})\]\ (?P<level>{_ASTERISK})
        \[(?P<pid>\d+)\](?:\[(?P<call>C-[0-9a-f]+)\])?:?\ (?P<place>[\w.-]+(?::\d+)?)\s?
        (?:(?P<function>\w+):)?\ ?{MSG}""",
        service="asterisk",
        starts="[",
        level_of=_asterisk,
    ),
    row(
        "freeswitch",
        rf"""(?:[0-9a-f]{{8}}-[0-9a-f-]{{27}}\ )?(?P<time>\d{{4}}-\d\d-\d\d\ [\d:.]{{8,15}})
        \ (?:\d+\.\d+%\ )?\[(?P<level>[A-Z]+)\]\ (?P<place>\w+\.(?:c|cpp|lua):\d+)\ {MSG}""",
        service="freeswitch",
        starts=DIGITS + "abcdef",
        has="] ",
    ),
    row(
        "fail2ban",
        rf"""(?P<time>{ISO})\ (?P<module>fail2ban\.\w+)\ *\[(?P<pid>\d+)\]:
        \ (?P<level>[A-Z]+)\ +{MSG}""",
        service="fail2ban",
        starts=DIGITS,
        has="fail2ban",
        finish=_fail2ban,
    ),
    row(
        "dovecot",
        rf"""(?P<time>(?:[A-Z][a-z]{{2}}\ \d\d|\d{{4}}-\d\d-\d\d)\ [\d:]{{8}})
        \ (?P<service>(?:master|imap|pop3|auth|lmtp|lda|log|config|anvil|ssl-params|managesieve
        |indexer|doveadm|stats)[\w-]*)(?:\((?P<user>[^)]*)\))?(?:<\d+>)?(?:<[^>]*>)?:
        \ (?P<level>Info|Debug|Warning|Error|Fatal|Panic):\ {MSG}""",
        starts=CAPITALS + DIGITS,
        has=": ",
        level_of=_MAIL_LEVEL.get,
    ),
    row(
        "exim",
        r"""(?P<time>\d{4}-\d\d-\d\d\ [\d:.]{8,12}(?:\ [+-]\d{4})?)\ (?:\[(?P<pid>\d+)\]\ )?
        (?P<queue_id>\w{6}-\w{6}-\w{2}|\w{6}-\w{11}-\w{4})\ (?P<msg>.*)""",
        service="exim",
        starts=DIGITS,
        has="-",
    ),
    row(
        "rsync",
        rf"""(?P<time>\d{{4}}/\d\d/\d\d\ [\d:]{{8}})\ \[(?P<pid>\d+)\]\ (?!\[)
        (?:rsync(?P<level>\ error|\ warning)?:\ )?{MSG}""",
        service="rsync",
        starts=DIGITS,
        has="] ",
    ),
    row(
        "openvpn",
        rf"""(?P<time>{CTIME}|\d{{4}}-\d\d-\d\d\ [\d:]{{8}})\ (?:us=\d+\ )?(?P<msg>(?:
        (?:\S+/)?[0-9a-fA-F.:]+:\d{{2,5}}\ .*|(?:TLS|VERIFY|SENT\ CONTROL|MANAGEMENT|OpenVPN
        |UDPv?\d?|TCPv?\d?|AUTH|OPTIONS|Initialization\ Sequence|TUN/TAP
        |Peer\ Connection|SIGUSR1|SIGTERM|PUSH|WARNING:|net_route|Inactivity\ timeout
        |Restart\ pause).*))""",
        service="openvpn",
        starts=CAPITALS + DIGITS,
    ),
    row(
        "clamav",
        rf"(?P<time>{CTIME})\ ->\ (?:(?P<level>ERROR|WARNING|\^|!)\s*:?\ ?)?{MSG}",
        service="clamav",
        starts=CAPITALS,
        has=" -> ",
    ),
    row(
        "vlc",
        rf"""\[[0-9a-f]{{8,16}}\]\ (?P<module>[\w.-]+\ [\w\ ]{{1,40}}?)\ 
        (?P<level>error|warning|debug|info):\ {MSG}""",
        service="vlc",
        starts="[",
        has=": ",
    ),
    row(
        "synology",
        rf"""(?P<level>[A-Za-z]{{3,11}})\t(?P<time>\d{{4}}/\d\d/\d\d\ [\d:]{{8}})\t
        (?P<user>[^\t:]+):?\t{MSG}""",
        starts=ALPHABET,
        has="\t",
        service="synology",
    ),
    row(
        "synology event",
        rf"""(?P<level>[A-Z][a-z]{{2,10}})\t(?P<provider>[A-Z]\w+)\t
        (?P<time>\d{{4}}/\d\d/\d\d\ [\d:]{{8}})\t(?P<user>[^\t]+)\t{MSG}""",
        starts=CAPITALS,
        has="\t",
        service="synology",
    ),
    row(
        "ilo",
        r"""(?P<number>\d{1,6})\s+(?P<level>Informational|Caution|Critical|Repaired)\s+
        (?P<time>\d\d/\d\d/\d{4}\ [\d:]{5,8})\s+(?P<msg>.*)""",
        service="iLO",
        iso=False,
        starts=DIGITS,
        level=Level.INFO,
        level_of=lambda text: {"Caution": Level.WARNING}.get(text) or stated_levels.word(text),
        time_of=lambda text, now: stated_times.text(text + ":00" * (len(text) < 19), now),
    ),
    row(
        "restic",
        r"""(?P<level>Fatal|error|Warn):
        \ (?P<msg>(?:unable\ to\ |repository|wrong\ password|create).*)""",
        service="restic",
        starts="FeW",
        has=": ",
    ),
    row(
        "postfix",
        rf"""(?P<time>[A-Z][a-z]{{2}}\ [\ \d]\d\ [\d:]{{8}})\ (?P<service>postfix/[\w/-]+)
        \[(?P<pid>\d+)\]:\ (?:(?P<level>warning|error|fatal|panic):\ )?{MSG}""",
        starts=CAPITALS,
        has="postfix/",
    ),
    row(
        "ntpd",
        rf"""(?P<time>[\ \d]?\d\ [A-Z][a-z]{{2}}\ [\d:]{{8}})\ (?P<service>ntpd|ntpdate|sntp)
        \[(?P<pid>\d+)\]:\ {MSG}""",
        iso=False,
        starts=DIGITS + " ",
        has="ntp",
    ),
)
# Formats of which the header of syslog would read a part.
_NAMES_BEFORE_SYSLOG = (
    "java.util.logging,esxi program,esxi,esxi 6,vmkernel,vcenter,logread,openvpn,clamav,dovecot"
    ",postfix,freeradius,bind,date and level"
)
_BEFORE_SYSLOG = frozenset(_NAMES_BEFORE_SYSLOG.split(","))
FIRST = tuple(one for one in ALL if one.name in _BEFORE_SYSLOG)
FORMATS = tuple(one for one in ALL if one.name not in _BEFORE_SYSLOG)
