"""What an incident is called and how it is described, as a person would. Pure."""

from __future__ import annotations

import string

from aiops_core.models import EnrichedAnomaly
from correlation_service.policy import Wording
from correlation_service.windowing import Episode, First

NAMED_DEVICES = 5


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"unknown {key}"


def label(wording: Wording, anomaly: EnrichedAnomaly) -> str:
    """What an incident of *anomaly* alone is called."""
    values = {
        "device": anomaly.device,
        "service": anomaly.service if anomaly.service != "unknown" else "",
        "peer": str(anomaly.meta.get("peer") or ""),
        "metric": anomaly.metric or "",
        "type": anomaly.anomaly_type.replace("_", " "),
    }
    known = _Known({name: value for name, value in values.items() if value})
    text = string.Formatter().vformat(wording.title, (), known)
    if text.startswith((anomaly.device, anomaly.service)):
        return text  # a name stays as it is written
    return text[:1].upper() + text[1:]


def title(root: First, devices: int) -> str:
    """The title of an incident that began with *root* and affects *devices* devices."""
    if devices == 1:
        return root.label
    others = "1 more device" if devices == 2 else f"{devices - 1} more devices"
    return f"{root.label}, {others} affected"


def description(episode: Episode, root: First) -> str:
    devices = ", ".join(list(episode.firsts)[:NAMED_DEVICES])
    more = len(episode.firsts) - NAMED_DEVICES
    where = devices + (f" and {more} more" if more > 0 else "")
    times = "1 anomaly" if episode.count == 1 else f"{episode.count} anomalies"
    return (
        f"{times} on {where} since {episode.first_seen:%Y-%m-%d %H:%M:%S} UTC. "
        f"At the root: {root.msg}"
    )
