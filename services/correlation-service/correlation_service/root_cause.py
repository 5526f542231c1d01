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
        return _silent(silent, firsts, _surety(silent, roots, firsts))
    root = min(roots or firsts, key=lambda d: (-len(explains[d]), firsts[d].ts, d))
    first = firsts[root]
    earliest = first.ts == min(f.ts for f in firsts.values())
    sure = _surety(root, explains[root], firsts)
    return RootCause(
        device=root,
        service=first.service,
        anomaly=first.anomaly_id,
        reason=_reason(root, first, explains[root], len(firsts), earliest, sure),
        confidence=round(sure * _confidence(len(explains[root]), len(firsts), earliest), 2),
    )


def _explains(firsts: Mapping[str, Evidence]) -> dict[str, list[str]]:
    """Each affected device, and the affected devices that depend on it."""
    explains: dict[str, list[str]] = {device: [] for device in firsts}
    for device, first in firsts.items():
        for upper in first.upstream:
            if upper in explains and upper != device:
                explains[upper].append(device)
    return explains


def _surety(upper: str, devices: Sequence[str], firsts: Mapping[str, Evidence]) -> float:
    """How certain it is on average that *devices* need *upper*: below 1 when it is suggested."""
    sure = [firsts[device].probable.get(upper, 1.0) for device in devices]
    return sum(sure) / len(sure) if sure else 1.0


def _depends(sure: float) -> str:
    return "depends" if sure == 1 else "probably depends"


def _depend(sure: float) -> str:
    return "depend" if sure == 1 else "probably depend"


def _silent(device: str, firsts: Mapping[str, Evidence], sure: float) -> RootCause:
    since = min(first.ts for first in firsts.values())
    return RootCause(
        device=device,
        reason=(
            f"all {len(firsts)} affected devices {_depend(sure)} on {device}, which says nothing "
            f"itself; the first of them was seen at {since:%H:%M:%S} UTC"
        ),
        confidence=round(SILENT * sure, 2),
    )


def _confidence(explained: int, affected: int, earliest: bool) -> float:
    if affected == 1:
        return ALONE
    return round(0.3 + 0.5 * explained / (affected - 1) + (0.15 if earliest else 0.0), 2)


def _reason(
    root: str,
    first: Evidence,
    explained: Sequence[str],
    affected: int,
    earliest: bool,
    sure: float,
) -> str:
    if affected == 1:
        return f"{root} is the only affected device"
    since = f"{first.ts:%H:%M:%S} UTC"
    when = f"was the first to be seen, at {since}" if earliest else f"was seen at {since}"
    if not explained:
        return f"{root} {when}; no dependency between the {affected} affected devices is known"
    return f"{_share(len(explained), affected - 1, sure)} on {root}, which {when}"


def _share(explained: int, others: int, sure: float) -> str:
    if others == 1:
        return f"the other affected device {_depends(sure)}"
    share = f"all {others}" if explained == others else f"{explained} of the {others}"
    return f"{share} other affected devices {_depend(sure)}"
