"""What is said where the cause is not known: what is seen, and what speaks for what. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from llm_enricher.rules.case import IncidentCase, Item
from llm_enricher.rules.conditions import fits
from llm_enricher.rules.narrative import clock, listed, shortened

AT_ONCE = timedelta(seconds=5)  # what begins within this time on several devices is one event
CHANGES_BEFORE = timedelta(hours=1)
SHOWN = 3  # kinds of members
NETWORK = ("device_unreachable", "link_down", "link_degraded", "sender_lost")
CONTEXT = "context:"  # begins what is missing of the lines around an incident
UNKNOWN = "The cause is not known yet"


def what_is_seen(case: IncidentCase) -> str:
    """``The cause is not known yet: sw-1 (stp) reports “…”, 3 times.``"""
    if not case.members[0].is_member:
        return f"{UNKNOWN}: {case.incident.title.rstrip('.')}."
    seen = [_reported(item) for item in _one_of_each_kind(case)]
    return f"{UNKNOWN}: {'; '.join(seen)}."


def _one_of_each_kind(case: IncidentCase) -> list[Item]:
    kinds: dict[tuple[str, str], Item] = {}
    for item in case.worst:
        kinds.setdefault((item.device, item.type), item)
    return list(kinds.values())[:SHOWN]


def _reported(item: Item) -> str:
    service = f" ({item.service})" if item.service else ""
    times = f", {item.count} times" if item.count > 1 else ""
    return f"{item.device}{service} reports “{shortened(item.text)}”{times}"


def what_speaks_for_what(case: IncidentCase) -> Iterator[str]:
    """Sentences, each from what is there; none where nothing points anywhere."""
    yield from _changes(case)
    yield from _together(case)
    yield from _alone(case)
    if any(one.startswith(CONTEXT) for one in case.missing):
        yield "What else the ship said around it could not be read, or not all of it."


def _changes(case: IncidentCase) -> Iterator[str]:
    """Changes and logins shortly before it are the first suspects, the newest first."""
    began = case.incident.first_seen
    before = [
        item
        for item in case.context
        if item.kind in ("change", "login", "maintenance")
        and not item.fine
        and began - CHANGES_BEFORE <= item.ts <= began + AT_ONCE
    ]
    for item in sorted(before, key=lambda item: item.ts, reverse=True)[:2]:
        where = f" on {item.device}" if item.device else ""
        yield (
            f"Shortly before it, at {clock(item.ts)}{where}: “{shortened(item.text)}”;"
            " that makes this change the first suspect."
        )


def _together(case: IncidentCase) -> Iterator[str]:
    """Several devices at once: what they share; one after the other: what spreads."""
    devices = tuple(dict.fromkeys(item.device for item in case.worst))
    if len(devices) < 2:
        return
    shared = _shared_upstream(case)
    if shared:
        yield f"All of {listed(devices)} depend on {shared}, which speaks for a fault there."
        return
    first = [min(item.ts for item in case.worst if item.device == one) for one in devices]
    if max(first) - min(first) <= AT_ONCE:
        yield (
            f"{listed(devices)} began within {AT_ONCE.seconds} s of each other, which speaks for"
            " something that they share, such as power, switch or link."
        )


def _shared_upstream(case: IncidentCase) -> str:
    chains = [(item.device, *item.upstream) for item in case.worst if item.upstream]
    if len({chain[0] for chain in chains}) < 2:
        return ""
    common = set(chains[0]).intersection(*chains[1:])
    return next((device for device in chains[0] if device in common), "")


def _alone(case: IncidentCase) -> Iterator[str]:
    """One service of one device: the device and its network still work, as it reports."""
    devices = {item.device for item in case.worst}
    services = {item.service for item in case.worst if item.service}
    if len(devices) == len(services) == 1 and not any(
        fits(NETWORK, item.type) for item in case.worst
    ):
        yield (
            f"Only {services.pop()} on {devices.pop()} is concerned, and the device still reports:"
            " that speaks for the service itself or what it needs, not for the network."
        )
