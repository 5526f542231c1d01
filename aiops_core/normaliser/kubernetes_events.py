"""Kubernetes' events and audit records as JSON. Pure."""

from __future__ import annotations

from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser.json_fields import Object, content, cut, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_TIMES = ("lastTimestamp", "eventTime", "firstTimestamp")


def event(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """An event about an object: ``Warning BackOff: Back-off restarting failed container``."""
    about = fields.get("involvedObject", fields.get("regarding"))
    if not isinstance(about, dict):
        return None
    source = fields.get("source")
    source = source if isinstance(source, dict) else {}
    said = fields.get("message", fields.get("note", ""))
    reason = fields.get("reason")
    metadata = fields.get("metadata")
    created = metadata.get("creationTimestamp") if isinstance(metadata, dict) else None
    flat = flattened(
        {
            "ts": next((fields[name] for name in _TIMES if fields.get(name)), created),
            "level": "warning" if fields.get("type") == "Warning" else "info",
            "msg": f"{text(reason)}: {text(said)}" if reason else said,
            "service": source.get("component") or fields.get("reportingComponent"),
            "host": source.get("host"),
        }
    )
    parsed = content(flat, line, now)
    labels = [
        ("event.id", reason),
        ("k8s.object.kind", about.get("kind")),
        ("k8s.object.name", about.get("name")),
        ("k8s.namespace.name", about.get("namespace")),
        ("k8s.pod.name", about.get("name") if about.get("kind") == "Pod" else None),
    ]
    return parsed._replace(labels=cut([(name, value) for name, value in labels if value]))


def audit(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A record of the API server's audit: who did what; it is information."""
    if "verb" not in fields or "auditID" not in fields:
        return None
    user = fields.get("user")
    flat = flattened(
        {
            "ts": fields.get("requestReceivedTimestamp") or fields.get("stageTimestamp"),
            "service": "kube-apiserver",
            "url": fields.get("requestURI"),
            "msg": f"audit: {text(fields['verb'])}",
            "user": user.get("username") if isinstance(user, dict) else None,
        }
    )
    return content(flat, line, now)._replace(level=Level.INFO)


SIGNATURES = {"involvedObject": event, "regarding": event, "auditID": audit}
