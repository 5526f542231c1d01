"""What is known of a line of syslog while its header is read: host, time, program. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiops_core.models import Level
from aiops_core.normaliser import cisco, tags, times
from aiops_core.normaliser.line_format import NIL

# The device's clock and that of its relay differ by their zones at most, or the device's is wrong.
BELIEVED = timedelta(hours=26)
SAME_MOMENT = timedelta(minutes=1)
ZONE_STEP = timedelta(minutes=30)  # zones differ by multiples of it

_IPV6 = re.compile(r"\[?[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8}(?:%\w+)?\]?")
IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_ZONE = re.compile(r"([A-Z]{1,5}): ")  # after the host: sw-9 UTC: %LINK-…
_AGAIN = re.compile(r"[A-Z][a-z]{2} [ \d]?\d (?:\d{4} )?\d\d:\d\d:\d\d")  # a second time
_NAMED_AFTER_ADDRESS = re.compile(r"([\w.-]+) (?=[\w-]+\[\d+\]: )")
_PROCESS = re.compile(r"[A-Za-z_/][\w./-]*\[\d+\]: ")
_TAGGED = re.compile(r"[A-Za-z_/][\w./@-]*(?:\([^()\s]*\))?\[\d+\]:?$")
_PROGRAMS = frozenset(("kernel", "su", "sudo", "sshd", "systemd", "CRON", "cron", "dhclient"))
# Words that begin a message where no host stands: formats of makers, syslogd's own notes.
_NO_HOST = re.compile(
    r"""CEF:\s?\d|LEEF:\d|[%{|"(]|--\ |\w+=|(?:last\ )?message\ repeated\ |restart\.?$
    |[a-z][\w-]*(?:,[a-z!][\w-]*)+\s|(?:user|daemon|kern|auth|authpriv|cron|local\d)\.\w+\s|Event\|\d""",
    re.VERBOSE,
)


@dataclass(slots=True)
class SyslogHeader:
    """What is known so far; *text* is what remains of the line."""

    text: str
    ts: datetime | None = None
    zoned: bool = False
    host: str | None = None
    service: str | None = None
    pri: int | None = None
    level: Level | None = None
    labels: dict[str, str] = field(default_factory=dict)


def take_host(header: SyslogHeader, rest: str) -> None:
    """The host after a time: none before a colon, a tag or a format of a maker."""
    if rest.startswith(":"):
        header.text = rest[1:].lstrip()
        return
    rest = rest.lstrip()
    first, _, after = rest.partition(" ")
    after = after.lstrip()
    header.text = rest
    if not after or _NO_HOST.match(rest) or _AGAIN.match(rest):
        return
    if first.endswith(":") and not first.endswith("::"):
        if not _is_host(first[:-1], after):
            return
        first = first[:-1]
    elif _TAGGED.match(first):
        return
    if first.startswith("[") and (named := _NAMED_AFTER_ADDRESS.match(after)):
        header.labels["sender"] = first.strip("[]")  # Aruba's controllers state both
        first, after = named[1], after[named.end() :]
    header.host = None if first == NIL else first.strip("[]")
    header.text = after[1:].lstrip() if after.startswith(": ") else after
    if (zone := _ZONE.match(header.text)) and times.is_zone(zone[1]):
        header.text = header.text[zone.end() :]


def _is_host(word: str, after: str) -> bool:
    """Whether *word*, before a colon, names the sender rather than the program."""
    if IPV4.fullmatch(word) or _IPV6.fullmatch(word):
        return True
    if "[" in word or word in _PROGRAMS:
        return False
    if after.startswith("NetScreen device_id="):
        return True
    return bool(cisco.BEGINS.match(after) or _PROCESS.match(after))


def adopt(header: SyslogHeader, device: cisco.DeviceHeader) -> None:
    """What the device states, before what its relay does; a time that is far from the relay's is
    not believed."""
    header.labels.update(device.labels)
    if device.host and device.host != header.host:
        if header.host:
            header.labels["sender"] = header.host
        header.host = device.host
    header.text = device.text
    if device.ts is None:
        return
    if header.ts is not None and not _believed(device.ts - header.ts, device, header):
        header.labels["log.stated_time"] = device.ts.isoformat()
        return
    header.ts, header.zoned = device.ts, device.zoned


def _believed(ahead: timedelta, device: cisco.DeviceHeader, header: SyslogHeader) -> bool:
    """Whether the device's time, so much ahead of its relay's, is the time of the line. A local
    time without a zone is a multiple of half an hour away."""
    apart = abs(ahead)
    if apart <= SAME_MOMENT or device.zoned:
        return apart <= BELIEVED
    local = abs(apart - round(apart / ZONE_STEP) * ZONE_STEP) <= SAME_MOMENT
    return apart <= BELIEVED and not header.zoned and not local


def take_tag(header: SyslogHeader) -> None:
    """The program, and a level before it."""
    if header.service is not None:
        return
    level, header.text = tags.level_before(header.text)
    header.level = level or header.level
    if tag := tags.tagged(header.text):
        header.service, header.text = tag.service, tag.text
        header.labels.update(tag.labels)
