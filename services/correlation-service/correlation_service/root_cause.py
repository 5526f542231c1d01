"""The root of an incident: the most upstream affected device, then the earliest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiops_core.models import Evidence, RootCause

ALONE = 0.6  # confidence when there is one device and nothing to compare it with
SILENT = 0.7  # confidence in a device of which only its dependants tell


def root_cause(firsts: Mapping[str, Evidence], silent: str = "") -> RootCause:
    """The root among the affected devices, given the first anomaly of each.

    A device explains another when it lies upstream of it. The root is explained by none and
    explains most; of equals the one that was seen first. Confidence grows with the share of devices
    that it explains and is higher when it was also the first to be seen. *silent* is a device that
    says nothing while devices that depend on it complain; it is the root unless something above it
    speaks for itself.
    """
    explains = _explains(firsts)
    explained = {device for devices in explains.values() for device in devices}
    roots = [device for device in firsts if device not in explained]
    if silent and all(silent in firsts[root].upstream for root in roots):
        return _silent(silent, firsts)
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


def _explains(firsts: Mapping[str, Evidence]) -> dict[str, list[str]]:
    """Each affected device, and the affected devices that depend on it."""
    explains: dict[str, list[str]] = {device: [] for device in firsts}
    for device, first in firsts.items():
        for upper in first.upstream:
            if upper in explains and upper != device:
                explains[upper].append(device)
    return explains


def _silent(device: str, firsts: Mapping[str, Evidence]) -> RootCause:
    since = min(first.ts for first in firsts.values())
    return RootCause(
        device=device,
        reason=(
            f"all {len(firsts)} affected devices depend on {device}, which says nothing itself; "
            f"the first of them was seen at {since:%H:%M:%S} UTC"
        ),
        confidence=SILENT,
    )


def _confidence(explained: int, affected: int, earliest: bool) -> float:
    if affected == 1:
        return ALONE
    return round(0.3 + 0.5 * explained / (affected - 1) + (0.15 if earliest else 0.0), 2)


def _reason(
    root: str, first: Evidence, explained: Sequence[str], affected: int, earliest: bool
) -> str:
    if affected == 1:
        return f"{root} is the only affected device"
    since = f"{first.ts:%H:%M:%S} UTC"
    when = f"was the first to be seen, at {since}" if earliest else f"was seen at {since}"
    if not explained:
        return f"{root} {when}; no dependency between the {affected} affected devices is known"
    return f"{_share(len(explained), affected - 1)} on {root}, which {when}"


def _share(explained: int, others: int) -> str:
    if others == 1:
        return "the other affected device depends"
    share = f"all {others}" if explained == others else f"{explained} of the {others}"
    return f"{share} other affected devices depend"
