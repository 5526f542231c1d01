"""Titles and descriptions of incidents, in words of a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from aiops_core.models import EnrichedAnomaly, Evidence
from correlation_service.policy import Wording

NAMED_DEVICES = 5
SHARED = {
    "peer": "peer",
    "service": "service",
    "device": "device",
    "attacked": "attacked device",
    "type": "type of anomaly",
}


_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_NAMES = re.compile(r"\{(\w+)\}")


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"unknown {key}"


def label(wording: Wording, anomaly: EnrichedAnomaly) -> str:
    """The title of an incident of *anomaly* alone."""
    values = {
        "device": anomaly.device,
        "service": anomaly.service if anomaly.service != "unknown" else "",
        "peer": str(anomaly.meta.get("peer") or ""),
        "metric": anomaly.metric or "",
        "type": words(anomaly.anomaly_type),
    }
    known = _Known({name: value for name, value in values.items() if value})
    text = _OPTIONAL.sub(lambda part: _part(part[1], known), wording.title).format_map(known)
    if text.startswith((anomaly.device, anomaly.service)):
        return text  # a name stays as it is written
    return text[:1].upper() + text[1:]


def _part(text: str, known: Mapping[str, str]) -> str:
    """*text*, or nothing if it needs a value that is not known."""
    return text if all(name in known for name in _NAMES.findall(text)) else ""


def words(anomaly_type: str) -> str:
    return anomaly_type.replace("_", " ")


def title(root: Evidence, devices: int, silent: str, flaps: int, is_list: bool) -> str:
    """The title of an incident that began with *root* and affects *devices* devices."""
    if is_list:
        where = root.device if devices == 1 else f"{devices} devices"
        return f"Single errors on {where} that nothing connects"
    if silent:
        return f"{silent} is probably down: {devices} devices that need it have lost it"
    text = f"{root.label} (flapping)" if flaps else root.label
    if devices == 1:
        return text
    others = "1 more device" if devices == 2 else f"{devices - 1} more devices"
    return f"{text}, {others} affected"


def description(
    firsts: Mapping[str, Evidence],
    count: int,
    root: Evidence,
    flaps: Sequence[datetime],
    since: datetime | None = None,
) -> str:
    """*since* an earlier occurrence, of which *count* counts the anomalies as well."""
    devices = ", ".join(list(firsts)[:NAMED_DEVICES])
    more = len(firsts) - NAMED_DEVICES
    where = devices + (f" and {more} more" if more > 0 else "")
    times = "1 anomaly" if count == 1 else f"{count} anomalies"
    since = since or min(first.ts for first in firsts.values())
    since_when = f"since {since:%Y-%m-%d %H:%M:%S} UTC."
    return f"{times} on {where} {since_when}{_flapping(flaps)} At the root: {root.msg}"


def _flapping(flaps: Sequence[datetime]) -> str:
    """How often it recovered, and in how many minutes."""
    if not flaps:
        return ""
    minutes = max(1, round((flaps[-1] - flaps[0]).total_seconds() / 60))
    return f" Flapping, recovered {len(flaps)} times in {minutes} min."
