"""Events of Windows as JSON: NXLog, Winlogbeat and Elastic Agent, the rendered XML. Pure.

The program is the event's provider, ``event.id`` its number. The text, which Windows spreads over
lines and tabs, becomes one line.
"""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels
from aiops_core.normaliser.json_fields import Object, content, cut, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_BLANKS = re.compile(r"\s+")
_WINDOWS = frozenset({"EventTime", "SourceName", "ProviderName", "Channel", "EventLog"})
_NO_VALUE = frozenset({"-", "N/A", "", "0x0"})
_DATA = "winlog.event_data."


def _one_line(parsed: ParsedLine) -> ParsedLine:
    labels = {name: value for name, value in parsed.labels.items() if value not in _NO_VALUE}
    return parsed._replace(msg=_BLANKS.sub(" ", parsed.msg).strip(), labels=labels)


_LEVELS = ("LevelDisplayName", "Type", "EntryType", "EventLevelName")


def nxlog(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """An event as NXLog and others write it: flat fields, their names in capitals."""
    if not fields.keys() & _WINDOWS:
        return None
    flat = flattened(fields)
    stated = next((flat.pop(name) for name in _LEVELS if name in flat), None)
    number = flat.pop("Level", None)
    level = stated_levels.of_text(stated) or stated_levels.windows(number)
    if level is not None and "Severity" not in flat:
        flat["Severity"] = level.value
    if "Id" in flat:
        flat.setdefault("EventID", flat.pop("Id"))
    for name in ("EventReceivedTime", "SourceModuleName", "SourceModuleType", "Opcode"):
        flat.pop(name, None)
    provider = flat.get("SourceName") or flat.get("ProviderName") or flat.get("Provider")
    parsed = content(flat, line, now)
    if isinstance(provider, str):
        labels = {**parsed.labels, "event.provider": provider}
        parsed = parsed._replace(service=provider, labels=labels)
    return _one_line(_with_message(parsed, flat, line))


def winlogbeat(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """An event in the fields of Elastic's Beats, nested or with dots in their names."""
    flat = flattened(fields)
    flat = {key: value for key, value in flat.items() if not key.startswith(_BEAT_ONLY)}
    provider = flat.get("event.provider") or flat.get("winlog.provider_name")
    code = flat.get("event.code") or flat.get("winlog.event_id")
    computer, host = flat.get("winlog.computer_name"), flat.get("host.name")
    for name in ("host.hostname", "agent.hostname", "agent.name", "event.created"):
        if host or computer or name == "event.created":
            flat.pop(name, None)
    if isinstance(computer, str) and isinstance(host, str):
        if computer.partition(".")[0].casefold() != host.partition(".")[0].casefold():
            flat["host.name"] = computer  # the collector forwards another computer's event
        del flat["winlog.computer_name"]
    if "log.level" not in flat:
        level = stated_levels.windows(flat.get("winlog.level"))
        flat["log.level"] = (level or Level.INFO).value
    parsed = content(flat, line, now)
    labels = dict(parsed.labels)
    if provider:
        labels["event.provider"] = text(provider)
    if code:
        labels["event.id"] = text(code)
    service = text(provider) if provider else parsed.service
    parsed = parsed._replace(service=service, labels=labels)
    return _one_line(_with_message(parsed, flat, line))


_BEAT_ONLY = ("@metadata", "agent.", "ecs.", "host.os", "host.id", "host.ip", "host.mac",
              "host.architecture", "elastic_agent", "data_stream", "input.", "event.ingested",
              "event.original")  # fmt: skip


_ATTRIBUTE = re.compile(r"(?:#|@|_)?attributes\.|\.#text$|\.Value$|\.value$|\.\$t$|(?<=\.)@")


def rendered_xml(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """``{"Event": {"System": …, "EventData": …}}``: the event's XML turned into JSON."""
    event = fields.get("Event")
    if not isinstance(event, dict) or not isinstance(event.get("System"), dict):
        return None
    flat = {_ATTRIBUTE.sub("", key): value for key, value in flattened(event).items()}
    system = {
        key.removeprefix("System."): value
        for key, value in flat.items()
        if key.startswith("System.")
    }
    data = _event_data(flat)
    provider = system.get("Provider.Name") or system.get("Provider")
    level = flat.get("RenderingInfo.Level")
    stated = stated_levels.windows(level) or stated_levels.windows(system.get("Level"))
    number = system.get("EventID", "")
    spoken = flat.get("RenderingInfo.Message") or flat.get("Message") or fields.get("Message")
    known = {
        "EventTime": system.get("TimeCreated.SystemTime") or system.get("TimeCreated"),
        "Hostname": system.get("Computer"),
        "SourceName": provider,
        "EventID": number,
        "Severity": (stated or Level.INFO).value,
        "ProcessID": system.get("Execution.ProcessID"),
        "ThreadID": system.get("Execution.ThreadID"),
        "Channel": system.get("Channel"),
        "Message": spoken or f"{provider}: event {number}: {_listed(data)}".removesuffix(": "),
    }
    return nxlog({**{f"event_data.{k}": v for k, v in data.items()}, **known}, line, now)


def _event_data(flat: Object) -> Object:
    """The event's data by their names; without names they are numbered."""
    data: Object = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        if section not in ("EventData", "UserData"):
            continue
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, dict):
                named = one.get("Name") or one.get("@Name") or one.get("#attributes", {})
                named = named.get("Name") if isinstance(named, dict) else named
                data[str(named or number)] = one.get("#text", one.get("content", ""))
            else:
                data[f"{name or 'Data'}{number or ''}".removeprefix("Data.")] = one
    return data


def _listed(data: Object) -> str:
    return ", ".join(f"{name}={text(value)}" for name, value in list(data.items())[:12])


def _with_message(parsed: ParsedLine, flat: Object, line: str) -> ParsedLine:
    """An event whose text is missing is told by its provider, number and data."""
    if parsed.msg != line:
        return parsed
    data = {key.removeprefix(_DATA): value for key, value in flat.items() if key.startswith(_DATA)}
    number = parsed.labels.get("event.id", "")
    said = f"{parsed.service or 'Windows'}: event {number}: {_listed(data)}".removesuffix(": ")
    return parsed._replace(msg=said, labels=cut(parsed.labels.items()))


SIGNATURES = {
    "EventID": nxlog,
    "EventTime": nxlog,
    "EventCode": nxlog,
    "LevelDisplayName": nxlog,
    "winlog": winlogbeat,
    "winlog.event_id": winlogbeat,
    "winlog.channel": winlogbeat,
    "winlog.provider_name": winlogbeat,
    "winlog.computer_name": winlogbeat,
    "Event": rendered_xml,
}
