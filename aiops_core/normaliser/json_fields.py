"""The fields of a JSON line by the names that loggers give them. Pure.

Objects within objects are flattened: ``{"host": {"name": x}}`` is ``host.name``. A name has a role
(time, level, message, …) whatever its case; within a role the first name of its list wins. What has
no role, or does not fit it, becomes a label, under its semantic name where it has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.app_format import LABEL_LIMIT
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.runtime_logs import EXCEPTION, LABELS_LIMIT, with_error

Object = dict[str, object]
T = TypeVar("T")
FLAT_LIMIT = 256  # fields that are looked at
DEEPEST = 8  # objects within objects; deeper ones stay JSON

# The first name that is present wins.
TIME = (
    *("ts", "time", "timestamp", "@timestamp", "datetime", "date", "t", "@t", "eventtime"),
    *("event_time", "asctime", "timecreated", "timegenerated", "systemtime", "timeunixnano"),
    *("time_unix_nano", "timemillis", "@time", "log_time", "logtime", "log.time", "utctime"),
    *("time_iso8601", "time_local", "starttimeutc", "starttime", "start_time", "event.created"),
    *("eventtimestamp", "event_timestamp", "lasttimestamp", "last_changed", "last_updated"),
    *("observedtimeunixnano", "observed_timestamp", "dt", "when", "_time", "generated_at"),
    *("created_at", "created", "log_timestamp", "logged_at", "epoch", "unix_time", "unixtime"),
    *("time.repr", "time.timestamp", "receivetimestamp", "ingestiontime", "eventreceivedtime"),
    *("time.$date", "ts.$date", "timestamp.$date", "date.$date"),
)
LEVEL_OF: dict[str, Callable[[object], Level | None]] = {
    **dict.fromkeys(
        (
            *("level", "severity", "lvl", "loglevel", "log_level", "levelname", "log.level"),
            *("@l", "@level", "severitytext", "severity_text", "level_name", "level.name"),
            *("levelstr", "severity_name", "severity_label", "leveldisplayname", "log_severity"),
            *("logging.level", "log.severity", "syslog.severity.name", "level_text", "sev"),
            *("event.severity_label", "eventtype", "criticality", "alarm_level", "alert_level"),
            "message_type",
        ),
        stated_levels.of_text,
    ),
    "log.syslog.severity.name": stated_levels.of_text,
    "log.syslog.severity.code": stated_levels.syslog,
    "syslog_severity": stated_levels.syslog,
    "syslog.severity": stated_levels.syslog,
    "severity_code": stated_levels.syslog,
    "severitynumber": stated_levels.opentelemetry,
    "severity_number": stated_levels.opentelemetry,
    "severityvalue": stated_levels.nxlog,
    "level_value": stated_levels.thousands,
    "levelno": stated_levels.python,
    "level.no": stated_levels.python,
    "priority": stated_levels.syslog,
}
LEVEL = tuple(LEVEL_OF)
MESSAGE = (
    *("msg", "message", "log", "text", "event", "short_message", "MESSAGE", "@m"),
    *("renderedmessage", "textpayload", "body", "body.stringvalue", "log.message"),
    *("logmessage", "log_message", "log_msg", "event_message", "eventmessage", "msgtext"),
    *("@mt", "messagetemplate", "description", "resultdescription", "alarm_text", "alarmtext"),
    *("full_message", "summary", "alert.signature", "alarm", "fault", "payload", "value.message"),
    *("event.original", "@message", "line", "content", "details", "detail", "title"),
    *("_raw", "raw", "eventname", "event_name", "operationname", "operation_name"),
)
HOST = (
    *("host", "hostname", "host_name", "_HOSTNAME", "node", "host.name", "host.hostname"),
    *("computer", "computername", "computer_name", "machinename", "machine_name", "machine"),
    *("nodename", "node_name", "winlog.computer_name", "winlog.computer", "observer.name"),
    *("observer.hostname", "beat.hostname", "agent.hostname", "syslog.hostname"),
    *("kubernetes.host", "kubernetes.node_name", "kubernetes.node.name", "source.host"),
    *("log.syslog.hostname", "servername", "rolename", "agent.name", "resource.host.name"),
)
SERVICE = (
    *("service", "app", "program", "appname", "application", "SYSLOG_IDENTIFIER"),
    *("service.name", "resource.service.name", "app_name", "application_name", "service_name"),
    *("logger",),
    *("programname", "program_name", "log.syslog.appname", "syslog.appname", "event.provider"),
    *("winlog.provider_name", "sourcename", "providername", "provider_name", "provider.name"),
    *("container_name", "kubernetes.container_name", "kubernetes.container.name"),
    *("container.name", "resource.labels.container_name", "process.name", "_comm", "daemon"),
    *("processname", "process_name", "process", "ident", "module", "component", "subsystem"),
    *("sourcecontext", "category", "loggername", "logger_name", "log.logger", "categoryname"),
    *("@logger", "name", "channel", "service_id", "tag"),
)
DEVICE = ("device_id", "device", "device_name", "devicename", "deviceid", "device.name")
SOURCE = ("source",)
TYPE = (
    *("exception.type", "error.type", "err.type", "err.name", "thrown.name", "exception.class"),
    *("exception.classname", "exceptiontype", "exception_type", "error.name", "exc_type"),
    *("exception_class", "error_class", "exception.exception_class", "throwable.classname"),
)
PROBLEM = (
    *("exception.message", "error.message", "err.message", "err.msg", "thrown.message", "error"),
    *("err", "exception_message", "error_message", "errormessage", "throwable.message", "errmsg"),
    *("exception.exception_message", "exc_message", "errormsg", "error.msg", "error.errmsg"),
    *("error.reason", "failure_reason"),
)
STACK = (
    *("exception.stacktrace", "stack_trace", "stacktrace", "err.stack", "error.stack_trace"),
    *("error.stack", "exc_info", "exc_text", "traceback", "thrown.extendedstacktrace", "@x"),
    *("exception", "exception.stack_trace", "exceptiondetail", "stack", "error.stacktrace"),
)

# Fields of others that are the same thing as a name of the semantic conventions.
SEMANTIC = {
    name: semantic
    for semantic, names in {
        "process.pid": "pid processid process_id _pid process.id execution_processid",
        "thread.name": "thread thread_name threadname thread_id threadid process.thread.name tid",
        "user.name": "user username user_name targetusername winlog.event_data.targetusername"
        " accountname usr login",
        "code.file.path": "caller filename source.file pathname file_name callerfile log.origin"
        " log.origin.file.name",
        "code.function.name": "func function funcname source.function log.origin.function",
        "container.id": "container_id containerid docker.container_id kubernetes.docker_id",
        "k8s.pod.name": "pod kubernetes.pod_name kubernetes.pod.name pod_name k8s.pod"
        " resource.labels.pod_name",
        "k8s.namespace.name": "kubernetes.namespace_name kubernetes.namespace namespace_name"
        " kubernetes.namespace.name resource.labels.namespace_name",
        "source.address": "src_ip srcip source.ip remote_ip remote_addr clientip client_ip"
        " clientaddr clienthost request.remote_ip request.client_ip ipaddress src remote_host"
        " id.orig_h winlog.event_data.ipaddress remoteaddr source_ip client.ip attr.remote",
        "destination.address": "dest_ip dstip destination.ip dst_ip id.resp_h dst destination_ip",
        "source.port": "src_port srcport id.orig_p request.remote_port",
        "destination.port": "dest_port dstport dst_port id.resp_p",
        "network.interface.name": "interface iface ifname if_name in_iface port_name",
        "network.peer.address": "peer neighbor neighbour peer_ip",
        "vlan.id": "vlan vlan_id vlanid",
        "url.full": "url uri request_uri request.uri requestpath request_path http.url",
        "http.request.method": "method request_method request.method requestmethod http.method",
        "http.response.status_code": "downstreamstatus status_code statuscode http.status_code"
        " response_code",
        "user_agent.original": "user_agent http_user_agent useragent user-agent http.user_agent",
        "http.request.header.referer": "referer referrer http_referer",
        "event.id": "event.code eventid event_id eventcode winlog.event_id alert.signature_id"
        " messageid message_id msgid_ alarm_id alarmid",
        "event.provider": "winlog.provider_name sourcename providername provider_name provider",
        "systemd.unit": "_systemd_unit systemd_unit",
        "log.iostream": "stream log.iostream",
        "logger": "logger loggername logger_name sourcecontext target",
        "messaging.destination.name": "topic mqtt_topic mqtt.topic",
        "service.instance.id": "instance instance_id service.instance",
        "device.model": "model device_model",
        "device.vendor": "vendor device_vendor manufacturer",
        "client.mac": "mac mac_address client_mac",
        "component": "component",
    }.items()
    for name in names.split()
}
# Objects that only wrap the fields of the line proper.
_WRAPPERS = (
    *("jsonpayload.", "payload.", "fields.", "@fields.", "data.", "json.", "record.", "log."),
    *(
        "properties.",
        "properties.log.",
        "body.",
        "entry.",
        "attributes.",
        "event.",
        "detail.",
        "result.",
    ),
)
_ONLY_LABELS = frozenset({"host", "hostname", "source", "name", "device", "date", "node", "unit"})


class FieldRole(NamedTuple):
    """What a field is; of several with one kind the lowest *rank* wins."""

    kind: str
    rank: int


_KINDS: dict[str, tuple[str, ...]] = {
    "time": TIME,
    "level": LEVEL,
    "msg": MESSAGE,
    "host": HOST,
    "service": SERVICE,
    "device_id": DEVICE,
    "source": SOURCE,
    "type": TYPE,
    "problem": PROBLEM,
    "stack": STACK,
}
ROLES = {
    name.casefold(): FieldRole(kind, rank)
    for kind, names in _KINDS.items()
    for rank, name in enumerate(names)
}
# Where a field of the same name in a wrapper counts, after all others.
_WRAPPED = len(ROLES)


@lru_cache(8192)
def role_of(name: str) -> FieldRole | None:
    """The role of the field *name*."""
    folded = name.casefold()
    if (role := ROLES.get(folded)) or (role := ROLES.get(folded.lstrip("_"))):
        return role
    for wrapper in _WRAPPERS:
        if folded.startswith(wrapper):
            inner = folded[len(wrapper) :]
            if inner not in _ONLY_LABELS and (role := ROLES.get(inner)):
                return FieldRole(role.kind, role.rank + _WRAPPED)
    return None


@lru_cache(8192)
def label_of(name: str) -> str:
    """The name of the label that the field *name* becomes."""
    folded = name.casefold()
    return SEMANTIC.get(folded) or SEMANTIC.get(folded.lstrip("_")) or name


def flattened(fields: Mapping[str, object]) -> Object:
    """*fields* without objects in it, and without what has no value."""
    flat: Object = {}
    for key, value in fields.items():
        if value is None or value == "":
            continue
        if isinstance(value, dict):
            _flatten(value, key + ".", flat, 1)
        else:
            flat[key] = value
    return flat


def _flatten(fields: Mapping[str, object], prefix: str, flat: Object, depth: int) -> None:
    for key, value in fields.items():
        if len(flat) >= FLAT_LIMIT:
            return
        if value is None or value == "":
            continue
        if isinstance(value, dict):
            if depth < DEEPEST:
                _flatten(value, f"{prefix}{key}.", flat, depth + 1)
            else:
                flat[prefix + key] = text(value)
        else:
            flat[prefix + key] = value


def text(value: object) -> str:
    """*value* as text; what is no text stays JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_COLOUR = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")


def without_colours(value: str) -> str:
    """*value* without the escapes that colour it on a terminal."""
    return _COLOUR.sub("", value) if "\x1b" in value else value


Found = dict[str, list[tuple[int, str, object]]]


def content(flat: Object, line: str, now: datetime) -> ParsedLine:
    """The line that the fields of *flat* state; *line* is the message when no field is."""
    found: Found = {}
    labels: Object = {}
    for key, value in flat.items():
        role = role_of(key)
        if role is None:
            labels[label_of(key)] = value
        else:
            found.setdefault(role[0], []).append((role[1], key, value))
    if "date" in flat and (joined := _joined(flat)):
        found["time"].insert(0, (-1, "date", joined))
    ts = _take(found, "time", labels, lambda _, value: stated_times.value(value, now))
    level = _take(found, "level", labels, _level)
    msg = _take(found, "msg", labels, _message)
    host = _take(found, "host", labels, _stripped)
    service = _take(found, "service", labels, _stripped)
    problem = _take_exception(found, labels) if _exceptional(found) else None
    msg = with_error(msg, problem, level) if msg else problem
    return ParsedLine(
        msg=msg or line,
        level=level,
        ts=ts,
        host=host,
        device_id=_take(found, "device_id", labels, _stripped),
        service=service.lstrip("/") or None if service else None,
        source=_take(found, "source", labels, _stripped),
        labels=cut(labels.items()),
    )


def cut(labels: Iterable[tuple[str, object]]) -> dict[str, str]:
    """At most LABELS_LIMIT labels of LABEL_LIMIT characters."""
    kept: dict[str, str] = {}
    for key, value in labels:
        if len(kept) >= LABELS_LIMIT:
            break
        kept[key[:LABEL_LIMIT]] = (value if isinstance(value, str) else text(value))[:LABEL_LIMIT]
    return kept


def _joined(flat: Object) -> str | None:
    """``date`` and ``time`` that are two halves of a time."""
    date, time = flat.get("date"), flat.get("time")
    if isinstance(date, str) and isinstance(time, str) and len(date) == len("2026-11-30"):
        return f"{date} {time}"
    return None


def _take(
    found: Found,
    kind: str,
    labels: Object,
    convert: Callable[[str, object], T | None],
) -> T | None:
    """The first field of *kind* that *convert* can read; the others become labels."""
    candidates = found.get(kind)
    if candidates is None:
        return None
    if len(candidates) > 1:
        candidates.sort(key=_rank)
    taken = None
    for _, key, value in candidates:
        if taken is None and (taken := convert(key, value)) is not None:
            continue
        labels.setdefault(label_of(key), value)
    return taken


def _rank(candidate: tuple[int, str, object]) -> int:
    return candidate[0]


def _level(key: str, value: object) -> Level | None:
    folded = key.casefold()
    reader = LEVEL_OF.get(folded) or LEVEL_OF.get(folded.lstrip("_"))
    return (reader or stated_levels.of_text)(value)


def _stripped(key: str, value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else _numeral(value)


def _numeral(value: object) -> str | None:
    return None if isinstance(value, bool | list) else text(value)


_ALWAYS_MESSAGE = frozenset({"msg", "message", "log", "text", "short_message"})


def _message(key: str, value: object) -> str | None:
    """A field that may be a message is one if it is text; ``message`` always is."""
    if isinstance(value, str):
        return without_colours(value).strip() or None
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return " ".join(value)
    return text(value) if key.casefold() in _ALWAYS_MESSAGE else None


_NO_PROBLEM = frozenset({"", "none", "null", "nil", "<nil>", "no", "false", "0", "ok"})


def _problem(key: str, value: object) -> str | None:
    if not isinstance(value, str):
        return text(value) if isinstance(value, list) and value else None
    stripped = value.strip()
    return None if stripped.casefold() in _NO_PROBLEM else stripped


def _exceptional(found: Found) -> bool:
    return "stack" in found or "problem" in found or "type" in found


def _take_exception(found: Found, labels: Object) -> str | None:
    """What failed, in words; type, message and stack trace become labels."""
    stack = _take(found, "stack", labels, _problem)
    kind = _take(found, "type", labels, _problem)
    problem = _take(found, "problem", labels, _problem)
    if stack is not None and (match := exception_of(stack)):
        kind, problem = kind or match[0], problem or match[1]
    for name, value in (("type", kind), ("message", problem), ("stacktrace", stack)):
        if value:
            labels[f"exception.{name}"] = value
    return problem or kind


def exception_of(stack: str) -> tuple[str, str] | None:
    """The type and the message of a stack trace; Python states them in its last line."""
    lines = stack.strip().splitlines()
    if not lines:
        return None
    first = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    match = EXCEPTION.match(first.removeprefix('Exception in thread "main" ').strip())
    return (match[1], (match[2] or "").strip()) if match else None
