"""Formats within the message of a line: what a transport (syslog, Docker, a relay) carries. Pure.

A reader gets a line and its arrival, and returns the line that was meant, or None when the message
does not have its format. It looks at the message's start only: there a device puts its format, and
text of others never stands there. Readers are tried in order, again on the result, up to DEPTH
times.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase, digits, hexdigits

from aiops_core.normaliser import (
    cisco,
    event_formats,
    firewall_lists,
    firewalls,
    juniper,
    routers,
    server_boards,
    snmptrapd,
    switches,
    syslog,
)
from aiops_core.normaliser.app_formats import APP_PAYLOADS
from aiops_core.normaliser.format_table import beginning
from aiops_core.normaliser.guards import Guarded, Guards
from aiops_core.normaliser.parsed import ParsedLine, Payload, PayloadReader

DEPTH = 3  # a relay's header, a device's header, its message

PAYLOADS: tuple[Payload, ...] = (
    Payload(cisco.controller, starts="*["),
    Payload(cisco.console, starts="%"),
    Payload(cisco.mnemonic, starts="%#"),
    Payload(cisco.viptela, starts="%"),
    Payload(cisco.ise, starts="C", begins="CISE_"),
    Payload(cisco.worded, starts="%"),
    Payload(cisco.slashed, starts="%" + ascii_uppercase, begins=r"(?:%%\d\d)?[A-Z][\w-]*/[0-7]/"),
    Payload(event_formats.cef, starts="C", begins="CEF:"),
    Payload(event_formats.leef, starts="L", begins="LEEF:"),
    Payload(firewall_lists.pan_os, starts="01,"),
    Payload(firewall_lists.filterlog, services=("filterlog",)),
    Payload(firewalls.read, starts=firewalls.STARTS, begins=r"[A-Za-z_][\w.-]{0,63}="),
    Payload(firewalls.check_point, services=("CheckPoint",)),
    Payload(switches.procurve, starts=digits + "WIMDE", begins=r"[WIMDE] \d\d/|\d{5} [A-Za-z]"),
    Payload(routers.unifi, starts="(\"'U" + hexdigits, begins=r"\(?[\"']?[\w.+-]+,[\w.+-]"),
    Payload(switches.aruba, starts="<"),
    Payload(switches.exos, starts="<"),
    Payload(switches.big_ip, starts=hexdigits, begins="[0-9a-f]{8}:[0-7]: "),
    Payload(switches.aruba_cx, starts="E", begins=r"Event\|"),
    Payload(switches.fastpath, starts=ascii_lowercase, begins=r"[\w.-]+\.[ch]\w{0,2}\(\d"),
    Payload(switches.os10, starts="N", begins=r"Node\."),
    Payload(
        routers.mikrotik,
        starts=ascii_lowercase + digits,
        begins=r"[a-z]{3}/\d\d|\d\d-\d\d|\d\d:\d\d:|[a-z][a-z0-9-]*,",
    ),
    Payload(juniper.netscreen, starts="N", begins="NetScreen "),
    Payload(server_boards.ontap, starts="["),
    Payload(juniper.junos, starts=ascii_uppercase, begins="[A-Z][A-Z0-9]+_"),
    Payload(juniper.junos_structured, labels=("msgid",)),
    Payload(routers.meraki, labels=("msgid",)),
    Payload(switches.alcatel, starts="s"),
    Payload(switches.alcatel, services=("swlogd",)),
    Payload(switches.zte, starts="A", begins=r"An alarm \d"),
    Payload(syslog.relayed, services=("netsyslog",)),
    Payload(snmptrapd.read, services=("snmptrapd",)),
    Payload(
        snmptrapd.read,
        starts=digits + "<",
        begins=r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?[^\s(\[]+ ?[\[(]",
    ),
    Payload(server_boards.idrac, starts="S", begins="Severity: "),
    Payload(server_boards.ilo, starts="i#"),
    Payload(server_boards.ilo_tagged, services=("iLO4", "iLO5", "iLO6", "iLO7")),
    Payload(
        server_boards.synology,
        starts="SCFWB",
        begins=r"(?:System|Connection|FTP|WinFileService|Backup) \S",
    ),
    Payload(server_boards.event_log, starts=hexdigits, begins=r"[0-9a-f]{1,4} *\|"),
    Payload(server_boards.qnap, services=("qlogd",)),
    *APP_PAYLOADS,
)


def unwrapped(line: ParsedLine, now: datetime) -> ParsedLine:
    """*line* with the fields that its message states."""
    for _ in range(DEPTH):
        inner = _once(line, now)
        if inner is None:
            return line
        line = inner
    return line


def _once(line: ParsedLine, now: datetime) -> ParsedLine | None:
    for reader in possible(line.msg):
        if found := reader(line, now):
            return found
    for reader in _of_service(line.service) if line.service in _SERVICES else ():
        if found := reader(line, now):
            return found
    if "msgid" in line.labels:
        for reader in _LABELLED:
            if found := reader(line, now):
                return found
    return None


def possible(msg: str) -> Sequence[PayloadReader]:
    """The readers that may read *msg*, whatever service and labels its line has."""
    return _guards(*beginning(msg)).possible(msg)


_SERVICES = frozenset(service for one in PAYLOADS for service in one.services)
_LABELLED = tuple(one.read for one in PAYLOADS if one.labels)


@lru_cache(1024)
def _guards(first: str, iso: bool) -> Guards[PayloadReader]:
    """The readers of messages that begin with *first*, and with a date if *iso*."""
    known = [one for one in PAYLOADS if not one.services and not one.labels]
    return Guards(
        guarded
        for one in known
        if not one.starts or first in one.starts
        for guarded in (
            one.guards(first, iso) if one.guards else [Guarded(one.read, begins=one.begins)]
        )
    )


@lru_cache(1024)
def _of_service(service: str | None) -> tuple[PayloadReader, ...]:
    return tuple(one.read for one in PAYLOADS if service in one.services)
