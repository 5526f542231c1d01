"""The streams of the broker: which subjects lie in which, with which limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from nats.js import JetStreamContext
from nats.js.api import StoreCompression, StreamConfig
from nats.js.errors import NotFoundError

from aiops_core.models import AnomalyCleared, AnomalyDetected, AnomalySuppressed, EnrichedAnomaly
from aiops_core.policy.retention import StreamLimits, Streams

LOGS, ANOMALIES, INCIDENTS, OPS = "LOGS", "ANOMALIES", "INCIDENTS", "OPS"

# INCIDENTS has the facts from which services rebuild their state. Bulk has a stream of its own:
# under load it would push out facts that are still needed (decision 18).
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    LOGS: ("logs.>", "metrics.>"),
    ANOMALIES: (AnomalyDetected.subject, EnrichedAnomaly.subject),
    INCIDENTS: ("incidents.>", AnomalySuppressed.subject, AnomalyCleared.subject, "actions.>"),
    OPS: ("ops.>", "dead.>"),
}
# Compressed on disk, to a fifth. LOGS and ANOMALIES are not: it cost 5 % of their throughput
# (decision 18).
COMPRESSED = (INCIDENTS, OPS)
DUPLICATE_WINDOW = timedelta(minutes=2)

# Compared with the configuration that the broker has; it fills in the rest itself.
_COMPARED = ("max_age", "max_bytes", "allow_atomic", "compression")


@lru_cache
def stream_of(subject: str) -> str:
    """The stream that holds *subject*; raises LookupError when none does."""
    if stream := _holder(subject):
        return stream
    raise LookupError(f"no stream holds {subject}")


def _holder(subject: str) -> str | None:
    for name, patterns in SUBJECTS.items():
        if any(_covers(pattern, subject) for pattern in patterns):
            return name
    return None


def by_stream(subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """*subjects* by stream."""
    names = dict.fromkeys(map(stream_of, subjects))
    return {name: tuple(s for s in subjects if stream_of(s) == name) for name in names}


def configs(limits: Streams) -> list[StreamConfig]:
    """The configuration of every stream."""
    by_name = {
        LOGS: limits.logs,
        ANOMALIES: limits.anomalies,
        INCIDENTS: limits.incidents,
        OPS: limits.ops,
    }
    return [_config(name, subjects, by_name[name]) for name, subjects in SUBJECTS.items()]


async def ensure_streams(js: JetStreamContext, limits: Streams) -> None:
    """Create or update all streams; several processes may do it at once."""
    for config in configs(limits):
        await _ensure(js, config)


async def _ensure(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        info = await js.stream_info(config.name or "")
    except NotFoundError:
        await js.add_stream(config)
        return
    kept = {*(config.subjects or ()), *_of_others(info.config)}
    config = replace(config, subjects=sorted(kept))
    if differ(info.config, config):
        await js.update_stream(config)


def _of_others(found: StreamConfig) -> list[str]:
    """Subjects unknown to this release: a later one added them and may publish on them."""
    return [subject for subject in found.subjects or () if not _holder(subject)]


def differ(found: StreamConfig, wanted: StreamConfig) -> bool:
    return set(found.subjects or ()) != set(wanted.subjects or ()) or any(
        getattr(found, name) != getattr(wanted, name) for name in _COMPARED
    )


def _config(name: str, subjects: Sequence[str], limits: StreamLimits) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=list(subjects),
        max_age=limits.max_age.total_seconds(),
        max_bytes=limits.max_bytes,
        duplicate_window=DUPLICATE_WINDOW.total_seconds(),
        allow_atomic=True,
        compression=StoreCompression.S2 if name in COMPRESSED else StoreCompression.NONE,
    )


def _covers(pattern: str, subject: str) -> bool:
    return subject == pattern or (
        pattern.endswith(">") and subject.startswith(pattern.removesuffix(">"))
    )
