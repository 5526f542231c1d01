"""Where a problem began: the most upstream affected device, then the earliest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiops_core.models import RootCause
from correlation_service.windowing import First

ALONE = 0.6  # confidence when there is one device and nothing to compare it with


def root_cause(firsts: Mapping[str, First]) -> RootCause:
    """The root among the affected devices, given the first anomaly of each.

    A device explains another when it lies upstream of it. The root is explained by none and explains
    most; of equals the one that was seen first. Confidence grows with the share of devices that it
    explains and is higher when it was also the first to be seen.
    """
    explains = {d: _explained_by(d, firsts) for d in firsts}
    roots = [d for d in firsts if not any(d in explains[other] for other in firsts if other != d)]
    root = min(roots or firsts, key=lambda d: (-len(explains[d]), firsts[d].ts, d))
    first = firsts[root]
    earliest = first.ts == min(f.ts for f in firsts.values())
    return RootCause(
        device=root,
        service=first.service,
        anomaly=first.anomaly_id,
        reason=_reason(root, first, explains[root], len(firsts), earliest),
        confidence=_confidence(len(explains[root]), len(firsts), earliest),
    )


def _explained_by(device: str, firsts: Mapping[str, First]) -> Sequence[str]:
    return [d for d, first in firsts.items() if d != device and device in first.upstream]


def _confidence(explained: int, affected: int, earliest: bool) -> float:
    if affected == 1:
        return ALONE
    return round(0.3 + 0.5 * explained / (affected - 1) + (0.15 if earliest else 0.0), 2)


def _reason(
    root: str, first: First, explained: Sequence[str], affected: int, earliest: bool
) -> str:
    since = f"{first.ts:%H:%M:%S} UTC"
    if affected == 1:
        return f"{root} is the only affected device; first seen at {since}: {first.msg}"
    when = f"was the first to be seen, at {since}" if earliest else f"was seen at {since}"
    if not explained:
        return f"{root} {when}; no dependency between the {affected} affected devices is known"
    return f"{len(explained)} of the {affected - 1} other affected devices depend on {root}, which {when}"
