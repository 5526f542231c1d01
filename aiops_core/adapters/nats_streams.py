"""The streams of the broker: which subjects lie in which, with which limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from nats.js import JetStreamContext
from nats.js.api import StoreCompression, StreamConfig
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_former import Say, read_out
from aiops_core.models import AnomalyCleared, AnomalyDetected, AnomalySuppressed, EnrichedAnomaly
from aiops_core.policy.retention import StreamLimits, Streams

LOGS, ANOMALIES, INCIDENTS, OPS = "LOGS", "ANOMALIES", "INCIDENTS", "OPS"

# INCIDENTS has the facts from which state is rebuilt. Nothing bulky lies beside them: under load the stream
# would discard facts that are still needed (decision 18).
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    LOGS: ("logs.>", "metrics.>"),
    ANOMALIES: (AnomalyDetected.subject, EnrichedAnomaly.subject),
    INCIDENTS: ("incidents.>", AnomalySuppressed.subject, AnomalyCleared.subject, "actions.>"),
    OPS: ("ops.>", "dead.>"),
}
# Compressed on disk, to a fifth; where much flows that costs a fifth of what the broker takes
# (decision 18).
SMALL = (INCIDENTS, OPS)
DUPLICATE_WINDOW = timedelta(minutes=2)

# What of a stream's configuration is ours; the broker fills in the rest.
_OURS = ("max_age", "max_bytes", "allow_atomic", "compression")


@lru_cache
def stream_of(subject: str) -> str:
    """The stream that holds *subject*; raises LookupError when none does."""
    for name, patterns in SUBJECTS.items():
        if any(_covers(pattern, subject) for pattern in patterns):
            return name
    raise LookupError(f"no stream holds {subject}")


def by_stream(subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """*subjects*, by the streams that hold them."""
    names = dict.fromkeys(map(stream_of, subjects))
    return {name: tuple(s for s in subjects if stream_of(s) == name) for name in names}


def configs(limits: Streams) -> list[StreamConfig]:
    """Every stream as this release wants it."""
    by_name = {
        LOGS: limits.logs,
        ANOMALIES: limits.anomalies,
        INCIDENTS: limits.incidents,
        OPS: limits.ops,
    }
    return [_config(name, subjects, by_name[name]) for name, subjects in SUBJECTS.items()]


async def ensure_streams(js: JetStreamContext, limits: Streams, say: Say) -> None:
    """Return when all streams exist with their subjects and limits; *say* hears how a former layout is read out.
    Several processes may do it at once."""
    wanted = configs(limits)
    await read_out(js, [config for config in wanted if config.name in (INCIDENTS, ANOMALIES)], say)
    for config in wanted:
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
    """Subjects that no stream of this release holds: a later one put them there, and may be publishing on them."""
    return [subject for subject in found.subjects or () if not _is_held(subject)]


def _is_held(subject: str) -> bool:
    try:
        return bool(stream_of(subject))
    except LookupError:
        return False


def differ(found: StreamConfig, wanted: StreamConfig) -> bool:
    return set(found.subjects or ()) != set(wanted.subjects or ()) or any(
        getattr(found, name) != getattr(wanted, name) for name in _OURS
    )


def _config(name: str, subjects: Sequence[str], limits: StreamLimits) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=list(subjects),
        max_age=limits.max_age.total_seconds(),
        max_bytes=limits.max_bytes,
        duplicate_window=DUPLICATE_WINDOW.total_seconds(),
        allow_atomic=True,
        compression=StoreCompression.S2 if name in SMALL else StoreCompression.NONE,
    )


def _covers(pattern: str, subject: str) -> bool:
    return subject == pattern or (
        pattern.endswith(">") and subject.startswith(pattern.removesuffix(">"))
    )
