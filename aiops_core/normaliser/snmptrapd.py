"""SNMP traps as net-snmp's snmptrapd writes them: the device is the trap's sender. Pure.

Notifications and variables of usual MIBs are named, also where snmptrapd had no MIB files. The
community is left out: it is a password.
"""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import times
from aiops_core.normaliser.parsed import ParsedLine

LONGEST_NAME = 16  # numbers of an object identifier in NAMES
_SENDER = re.compile(
    r"""(?:(?P<time>\d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d)\ )?(?P<name>[^\s(\[]+)\ ?
    [\[(](?:via\ )?(?:UDP6?|TCP6?|DTLSUDP|UDP/IPv6):\ \[?(?P<address>[^\]>]+)\]?
    (?::\d+)?(?:->\[[^\]]*\](?::\d+)?)?[\])]:?\s*(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_VERSION = re.compile(r"TRAP2?, SNMP (v\w+)(?:, community [^\t\n]*)?\s*|INFORM, SNMP (v\w+)\S*\s*")
_VERSION_1 = re.compile(
    r"(?P<oid>\S+) (?P<kind>[A-Z][\w ]*?Trap) \((?P<number>\d+)\) Uptime: (?P<uptime>[\d:.]+)\s*"
)
_OCTAL = {"#011": "\t", "#012": "\n", "\\n": "\n", "\\t": "\t"}
_VARIABLE = re.compile(r"(?P<oid>[\w:.-]+)\s*=\s*(?P<value>.*)", re.DOTALL)
_TYPE = re.compile(
    r"(?:INTEGER|STRING|Hex-STRING|OID|Timeticks|IpAddress|Gauge32|Counter\d\d"
    r"|Unsigned32|BITS|Opaque|Network Address|Wrong Type \([^)]*\)): ?"
)

# The generic traps of version 1, in the words of the line.
_GENERIC = {
    "Cold Start Trap": "coldStart",
    "Warm Start Trap": "warmStart",
    "Link Down Trap": "linkDown",
    "Link Up Trap": "linkUp",
    "Authentication Failure Trap": "authenticationFailure",
}
# A trap states no severity; these are reports of faults by their definition.
_FAULTS = frozenset(
    (
        *("linkDown", "authenticationFailure", "bgpBackwardTransition", "upsOnBattery"),
        *("bgpBackwardTransNotification", "upsTrapOnBattery", "upsTrapAlarmEntryAdded"),
        *("communicationLost", "upsOverload", "upsDiagnosticsFailed", "lowBattery"),
        *("upsBatteryNeedsReplacement", "ciscoEnvMonFanNotification", "upsTurnedOff"),
        *("ciscoEnvMonTemperatureNotification", "ciscoEnvMonRedundantSupplyNotification"),
        *("ciscoEnvMonShutdownNotification", "ciscoEnvMonVoltageNotification"),
    )
)
_ROOTS = (
    ("iso.3.6.1.", "1.3.6.1."),
    ("iso.", "1."),
    ("SNMPv2-SMI::enterprises", "1.3.6.1.4.1"),
    ("SNMPv2-SMI::mib-2", "1.3.6.1.2.1"),
    ("SNMPv2-SMI::snmpModules", "1.3.6.1.6.3"),
    ("SNMPv2-SMI::org", "1.3"),
    ("enterprises", "1.3.6.1.4.1"),
    ("mib-2", "1.3.6.1.2.1"),
)
_UPS = "1.3.6.1.2.1.33"
_POWERNET = "1.3.6.1.4.1.318.0"
_ENVMON = "1.3.6.1.4.1.9.9.13.3.0"
_STANDARD = "1.3.6.1.6.3.1.1.5"


def _numbered(root: str, names: str, first: int = 1) -> dict[str, str]:
    """Names of *root*'s children in their order; ``-`` leaves one out."""
    return {f"{root}.{n}": name for n, name in enumerate(names.split(), first) if name != "-"}


NAMES = {
    **_numbered(_STANDARD, " ".join((*_GENERIC.values(), "egpNeighborLoss"))),
    **_numbered("1.3.6.1.2.1.1", "sysDescr sysObjectID sysUpTime sysContact sysName sysLocation"),
    "1.3.6.1.6.3.1.1.4.1": "snmpTrapOID",
    "1.3.6.1.6.3.1.1.4.3": "snmpTrapEnterprise",
    "1.3.6.1.6.3.18.1.3": "snmpTrapAddress",
    **_numbered(
        "1.3.6.1.2.1.2.2.1",
        "ifIndex ifDescr ifType ifMtu ifSpeed ifPhysAddress ifAdminStatus ifOperStatus",
    ),
    "1.3.6.1.2.1.31.1.1.1.1": "ifName",
    "1.3.6.1.2.1.31.1.1.1.18": "ifAlias",
    **_numbered(
        f"{_UPS}.2",
        "upsTrapOnBattery upsTrapTestCompleted upsTrapAlarmEntryAdded upsTrapAlarmEntryRemoved",
    ),
    **_numbered(
        f"{_UPS}.1.2",
        "upsBatteryStatus upsSecondsOnBattery upsEstimatedMinutesRemaining"
        " upsEstimatedChargeRemaining upsBatteryVoltage upsBatteryCurrent upsBatteryTemperature",
    ),
    f"{_UPS}.1.6.2.1.1": "upsAlarmId",
    f"{_UPS}.1.6.2.1.2": "upsAlarmDescr",
    **_numbered(
        f"{_UPS}.1.6.3",
        "upsAlarmBatteryBad upsAlarmOnBattery upsAlarmLowBattery upsAlarmDepletedBattery"
        " upsAlarmTempBad upsAlarmInputBad upsAlarmOutputBad upsAlarmOutputOverload"
        " upsAlarmOnBypass upsAlarmBypassBad upsAlarmOutputOffAsRequested upsAlarmUpsOffAsRequested"
        " upsAlarmChargerFailed upsAlarmUpsOutputOff upsAlarmUpsSystemOff upsAlarmFanFailure"
        " upsAlarmFuseFailure upsAlarmGeneralFault upsAlarmDiagnosticTestFailed"
        " upsAlarmCommunicationsLost upsAlarmAwaitingPower upsAlarmShutdownPending"
        " upsAlarmShutdownImminent upsAlarmTestInProgress",
    ),
    **_numbered(
        _POWERNET,
        "communicationLost upsOverload upsDiagnosticsFailed upsDischarged upsOnBattery"
        " smartBoostOn lowBattery communicationEstablished powerRestored upsDiagnosticsPassed"
        " returnFromLowBattery upsTurnedOff upsSleeping upsWokeUp upsRebootStarted"
        " upsDialInStarted upsBatteryNeedsReplacement",
    ),
    "1.3.6.1.4.1.318.2.3.3": "mtrapargsString",
    "1.3.6.1.2.1.47.2.0.1": "entConfigChange",
    "1.3.6.1.2.1.47.1.1.1.1.2": "entPhysicalDescr",
    "1.3.6.1.2.1.47.1.1.1.1.7": "entPhysicalName",
    "1.3.6.1.2.1.99.1.1.1.4": "entPhySensorValue",
    "1.3.6.1.2.1.15.7.1": "bgpEstablished",
    "1.3.6.1.2.1.15.7.2": "bgpBackwardTransition",
    "1.3.6.1.2.1.15.0.1": "bgpEstablishedNotification",
    "1.3.6.1.2.1.15.0.2": "bgpBackwardTransNotification",
    "1.3.6.1.2.1.14.16.2.2": "ospfNbrStateChange",
    "1.3.6.1.2.1.17.0.1": "newRoot",
    "1.3.6.1.2.1.17.0.2": "topologyChange",
    **_numbered(
        _ENVMON,
        "ciscoEnvMonShutdownNotification ciscoEnvMonVoltageNotification"
        " ciscoEnvMonTemperatureNotification ciscoEnvMonFanNotification"
        " ciscoEnvMonRedundantSupplyNotification",
    ),
    "1.3.6.1.4.1.9.9.41.2.0.1": "clogMessageGenerated",
    "1.3.6.1.4.1.9.9.43.2.0.1": "ciscoConfigManEvent",
    "1.3.6.1.4.1.9.9.117.2.0.2": "cefcPowerStatusChange",
    "1.3.6.1.4.1.9.9.117.2.0.6": "cefcFanTrayStatusChange",
    "1.3.6.1.4.1.9.9.41.1.2.3.1.2": "clogHistFacility",
    "1.3.6.1.4.1.9.9.41.1.2.3.1.3": "clogHistSeverity",
    "1.3.6.1.4.1.9.9.41.1.2.3.1.4": "clogHistMsgName",
    "1.3.6.1.4.1.9.9.41.1.2.3.1.5": "clogHistMsgText",
    "1.3.6.1.4.1.9.9.13.1.4.1.2": "ciscoEnvMonFanStatusDescr",
    "1.3.6.1.4.1.9.9.13.1.4.1.3": "ciscoEnvMonFanState",
    "1.3.6.1.4.1.9.9.13.1.5.1.2": "ciscoEnvMonSupplyStatusDescr",
    "1.3.6.1.4.1.9.9.13.1.5.1.3": "ciscoEnvMonSupplyState",
}
_NOT_SAID = frozenset(("sysUpTime", "sysUpTimeInstance", "snmpTrapOID", "snmpTrapEnterprise"))


def named(oid: str) -> str:
    """``1.3.6.1.2.1.2.2.1.8.7`` → ``ifOperStatus.7``; ``IF-MIB::ifOperStatus.7`` likewise."""
    for root, number in _ROOTS:
        if oid.startswith(root):
            oid = number + oid.removeprefix(root)
            break
    oid = oid.removeprefix(".")
    if "::" in oid:
        return oid.partition("::")[2]
    parts = oid.split(".")
    for length in range(min(len(parts), LONGEST_NAME), 5, -1):
        if name := NAMES.get(".".join(parts[:length])):
            return ".".join((name, *parts[length:]))
    return oid


def read(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """The trap in *line*, of the device that sent it."""
    match = _SENDER.match(line.msg)
    if match is None or "snmp.version" in line.labels:
        return None
    labels = {**line.labels, "snmp.version": "v2c"}
    trap, said = _content(match["text"], labels)
    if trap:
        labels["event.id"] = trap
    unknown = match["name"] in ("<UNKNOWN>", "0.0.0.0")
    host = match["address"] if unknown else match["name"]
    if line.host and line.host != host:
        labels["sender"] = line.host
    return line._replace(
        level=line.level or (Level.WARNING if trap in _FAULTS else None),
        msg=": ".join(part for part in (trap, said) if part) or line.msg,
        ts=line.ts or (times.iso(match["time"], now) if match["time"] else None),
        host=host,
        device_id=host,
        service=line.service or "snmptrapd",
        labels=labels,
    )


def _content(text: str, labels: dict[str, str]) -> tuple[str, str]:
    """The name of the trap and its variables; the rest goes into *labels*."""
    for written, meant in _OCTAL.items():
        text = text.replace(written, meant)
    if version := _VERSION.match(text):
        labels["snmp.version"] = version[1] or version[2]
        text = text[version.end() :]
    trap = ""
    if first := _VERSION_1.match(text.lstrip()):
        text = text.lstrip()[first.end() :]
        labels["uptime"], trap = first["uptime"], _trap_of_version_1(first)
    variables = _variables(text)
    for name, value in variables.items():
        if name.startswith(("ifName.", "ifDescr.")):
            labels.setdefault("network.interface.name", value)
        elif name.startswith("sysUpTime"):
            labels["uptime"] = value
    said = [f"{n} = {v}" for n, v in variables.items() if n.partition(".")[0] not in _NOT_SAID]
    return trap or variables.get("snmpTrapOID.0", ""), ", ".join(said)


def _trap_of_version_1(match: re.Match[str]) -> str:
    if match["kind"].startswith("Enterprise"):
        return named(f"{match['oid']}.0.{match['number']}")
    return _GENERIC.get(match["kind"]) or named(match["oid"])


def _variables(text: str) -> dict[str, str]:
    found = {}
    for part in re.split(r"[\t\n]+", text):
        if variable := _VARIABLE.match(part.strip()):
            value = _TYPE.sub("", variable["value"], count=1).strip().strip('"')
            if variable["value"].startswith("OID"):
                value = named(value)
            elif variable["value"].startswith("Timeticks"):
                value = value.rpartition(") ")[2]
            found[named(variable["oid"])] = value
    return found
