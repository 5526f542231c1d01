"""Entries of the systemd journal as JSON: ``journalctl -o json`` and what collectors make of it.

The journal states its time in microseconds; a message that is no UTF-8 is a list of bytes. Pure.
"""

from __future__ import annotations

from datetime import datetime

from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.json_fields import Object, cut, text
from aiops_core.normaliser.parsed import ParsedLine

_LABELS = {
    "_PID": "process.pid",
    "SYSLOG_PID": "process.pid",
    "_TRANSPORT": "journald.transport",
    "MESSAGE_ID": "msgid",
    "CODE_FUNC": "code.function.name",
    "CODE_FILE": "code.file.path",
    "CONTAINER_ID": "container.id",
    "CONTAINER_NAME": "container.name",
    "_UID": "user.id",
    "COREDUMP_COMM": "coredump.program",
    "COREDUMP_SIGNAL_NAME": "coredump.signal",
    "JOB_RESULT": "systemd.job_result",
    "UNIT_RESULT": "systemd.unit_result",
    "EXIT_STATUS": "process.exit.code",
    "_KERNEL_DEVICE": "kernel.device",
    "_KERNEL_SUBSYSTEM": "kernel.subsystem",
}
_SERVICES = ("SYSLOG_IDENTIFIER", "CONTAINER_NAME", "_COMM", "_SYSTEMD_UNIT")
_TIMES = ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")
_DROPPED = ("__", "_BOOT_ID", "_MACHINE_ID", "_CAP_", "_SELINUX", "_AUDIT", "_RUNTIME_SCOPE")


def read(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """The entry that *fields* are, or None when they only have a name of the journal."""
    message = fields.get("MESSAGE", fields.get("message"))
    if message is None and "__REALTIME_TIMESTAMP" not in fields:
        return None
    when = next(
        (found for name in _TIMES if (found := stated_times.value(fields.get(name), now))), None
    )
    if when is None:
        when = stated_times.value(fields.get("timestamp", fields.get("@timestamp")), now)
    unit = fields.get("UNIT") or fields.get("USER_UNIT") or fields.get("_SYSTEMD_UNIT")
    labels = [(label, fields[name]) for name, label in _LABELS.items() if fields.get(name)]
    labels += [("systemd.unit", unit)] if unit else []
    labels += [(name, value) for name, value in fields.items() if _of_a_program(name, value)]
    kernel = fields.get("_TRANSPORT") == "kernel"
    service = next((text(fields[name]) for name in _SERVICES if fields.get(name)), None)
    msg = _message(message)
    return ParsedLine(
        msg=msg,
        level=stated_levels.syslog(fields.get("PRIORITY")),
        ts=when,
        host=_text(fields.get("_HOSTNAME", fields.get("host"))),
        service=service or ("kernel" if kernel else None),
        labels=cut(labels),
    )


def _of_a_program(name: str, value: object) -> bool:
    """Whether the field *name* is of the program itself, such as ``DEVICE`` or ``INTERFACE``."""
    known = name in _LABELS or name in _SERVICES or name in _TIMES or name in _CORE
    return value is not None and not (known or name.startswith("_") or name.startswith(_DROPPED))


_CORE_NAMES = (
    "MESSAGE message PRIORITY UNIT USER_UNIT SYSLOG_FACILITY SYSLOG_TIMESTAMP SYSLOG_RAW host"
    " timestamp @timestamp CODE_LINE INVOCATION_ID TID"
)
_CORE = frozenset(_CORE_NAMES.split())


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _message(value: object) -> str:
    """The message; bytes become text, of several messages the first counts."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value:
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            decoded = bytes(value).decode(errors="replace")
            return decoded.replace("\0", "").strip()
        return _message(value[0])
    return "" if value is None else text(value)


SIGNATURES = {
    "__REALTIME_TIMESTAMP": read,
    "_BOOT_ID": read,
    "_SOURCE_REALTIME_TIMESTAMP": read,
    "SYSLOG_IDENTIFIER": lambda fields, line, now: (
        read(fields, line, now) if "MESSAGE" in fields else None
    ),
}
