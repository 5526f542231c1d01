"""From findings to messages."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from aiops_core.models import (
    AnomalyCleared,
    AnomalyDetected,
    AnomalyDigested,
    LogEntry,
    Message,
    MetricSample,
    derived_id,
)
from aiops_core.runtime.bus import Outgoing
from aiops_core.utils import extract_error_message
from anomaly_detection.detectors.base import Cleared, Detected, Finding, shown

LOGGER = "logger"  # the label with the part of a program that wrote the line
MSG_KEPT = 4000  # characters of a line in an anomaly; logs.raw has all of it


def message_of(finding: Finding, cause: Message) -> Message:
    """The message about *finding*, derived from its *cause*. Both have the same field names."""
    values = {field.name: getattr(finding, field.name) for field in fields(finding)}
    source = values.pop("source")
    values |= {"host": source.host, "device_id": source.device_id, "service": source.service}
    del values["at"]  # the message has the time of its cause
    if isinstance(finding, Cleared):
        del values["peak"]
        return cause.derive(AnomalyCleared, **values)
    values["msg"] = msg = _text(finding, cause)
    if isinstance(cause, LogEntry) and (logger := cause.labels.get(LOGGER)):
        values["meta"] = {**finding.meta, LOGGER: logger}
    error = extract_error_message(msg) if isinstance(cause, LogEntry) else None
    return cause.derive(AnomalyDetected, **values, error_msg=error)


def digested_of(finding: Detected, cause: Message, why: str) -> AnomalyDigested:
    """The message about a *finding* that opens no incident, and *why* it does not."""
    source = finding.source
    return cause.derive(
        AnomalyDigested,
        anomaly_id=derived_id(cause.tracking_id, finding.detector, finding.anomaly_type),
        anomaly_type=finding.anomaly_type,
        detector=finding.detector,
        host=source.host,
        device_id=source.device_id,
        service=source.service,
        component=finding.component,
        severity=finding.severity,
        msg=_text(finding, cause),
        template_id=finding.template_id or "",
        template=finding.template or "",
        reason=why,
    )


def message_without_cause(finding: Finding, now: datetime) -> Outgoing:
    """The message about a *finding* of a tick; its ids derive from the finding."""
    source = finding.source
    types = finding.anomaly_types if isinstance(finding, Cleared) else (finding.anomaly_type,)
    id_ = derived_id(
        *(source.ship_id, source.device, source.service, finding.metric or "", finding.detector),
        *(*types, finding.at.isoformat()),
    )
    cause = Message(tracking_id=id_, ship_id=source.ship_id, ts=finding.at, stages={"ingest": now})
    return Outgoing(message_of(finding, cause), f"anomaly-detection/{id_}")


def _text(finding: Detected, cause: Message) -> str:
    """The ``msg`` of an anomaly: the line, or a sentence about the reading."""
    if finding.msg is not None:
        return finding.msg
    if isinstance(cause, LogEntry):
        return cause.msg if len(cause.msg) <= MSG_KEPT else f"{cause.msg[:MSG_KEPT]}…"
    if finding.metric is None or finding.value is None or finding.threshold is None:
        return finding.reason
    unit = f" {cause.unit}" if isinstance(cause, MetricSample) and cause.unit else ""
    limit = shown(finding.threshold)
    return f"{finding.metric} is {shown(finding.value)}{unit}, limit {limit}{unit}"
