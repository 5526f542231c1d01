"""The labels of an anomaly: the names that matchers of silences compare. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiops_core.models import Device, EnrichedAnomaly

Labels = Mapping[str, tuple[str, ...]]  # a label without values counts as one empty value

OWN = (
    "anomaly_type",
    "detector",
    "device_id",
    "domain",
    "host",
    "metric",
    "service",
    "severity",
    "ship_id",
    "template_id",
)
OF_DEVICE = ("device_type", "site")
TAG = "tag"
PREFIX = "label."  # label.NAME is the label NAME of the device in the inventory
NAMES = (*sorted((*OWN, *OF_DEVICE, TAG)), f"{PREFIX}NAME")


def is_label(name: str) -> bool:
    return name in NAMES or (name.startswith(PREFIX) and len(name) > len(PREFIX))


def labels_of(anomaly: EnrichedAnomaly) -> Labels:
    """The labels of *anomaly*, with those of its device when the inventory has it."""
    own = {name: str(getattr(anomaly, name) or "") for name in OWN} | {"device_id": anomaly.device}
    return labels(own, anomaly.tags, anomaly.context.device)


def labels(own: Mapping[str, str], tags: Sequence[str], device: Device | None) -> Labels:
    """All labels; *own* has the names in ``OWN``, where ``device_id`` is never empty.

    It is the host for an anomaly whose device the inventory lacks.
    """
    found = {name: (value,) for name, value in own.items()}
    found |= {name: (value,) for name, value in (_of(device) if device else ())}
    return found | {TAG: tuple(tags)}


def _of(device: Device) -> Iterator[tuple[str, str]]:
    yield "device_type", device.type
    yield "site", device.site
    for name, value in device.labels.items():
        yield f"{PREFIX}{name}", value
