"""Links between devices that something written states, and which of the two ends needs the other.
Pure.

A neighbour table, a cable or a line names both ends of a link and seldom says which one hangs on
which. What decides, the surest first:

1. the statement itself: a power cord, an access point and its controller, a word such as *uplink*;
2. the ranks of the ends: a switch is above an access point, and that above hosts; as a type or
   capability states them, else as a name suggests them;
3. the tree: the end that is nearer to the core; what nobody knows hangs on the switch that sees it.

A firewall or router is above a switch for those who want to leave the ship, and below the core for
those who stay on it: that order is little believed. Power needs no network: only a cord tells.

An edge is suggested in one order only, or not at all when nothing decides.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal, NamedTuple

from aiops_core.inventory.names import is_address
from aiops_core.inventory.suggestions import (
    EVIDENCE_KEPT,
    SENTENCE_KEPT,
    EdgeFinding,
    EdgeKey,
    EvidenceKind,
)

# The smaller, the further up. Between two switches the words of their names decide.
ROUTER, CORE, DISTRIBUTION, SWITCH, ACCESS, AP, HOST = 0.0, 1.0, 1.2, 1.5, 1.7, 2.0, 3.0
_TIER = {
    **dict.fromkeys(("core", "spine", "backbone"), CORE),
    **dict.fromkeys(("dist", "distribution", "agg", "aggregation"), DISTRIBUTION),
    **dict.fromkeys(("acc", "access", "leaf", "edge"), ACCESS),
}
# A "gateway" may be one of a bus or of telephones, a "modem" may be above a router or below it:
# such words say nothing.
_RANK = {
    **dict.fromkeys(("router", "rt", "rtr", "firewall", "fw"), ROUTER),
    **dict.fromkeys(("switch", "sw", "l2switch", "l3switch"), SWITCH),
    **dict.fromkeys(("ap", "wap", "accesspoint"), AP),
    **dict.fromkeys(
        (
            *("server", "srv", "host", "station", "workstation", "desktop", "pc", "laptop", "nas"),
            *("phone", "camera", "cam", "printer", "tv", "display", "kiosk", "hmi", "plc"),
        ),
        HOST,
    ),
}
_POWER = frozenset(("ups", "pdu"))
_SPACED = re.compile(r"(?i)\b(access|wireless)[ _-]?point\b")
_WORD = re.compile(r"[a-z]+(?:[23][a-z]+)?")
_UPLINK = re.compile(r"(?i)\b(?:up[ _-]?link|upstream)\b")
_DOWNLINK = re.compile(r"(?i)\b(?:down[ _-]?link|downstream)\b")


class Witness(Enum):
    """Who says that there is a link; the value is how far that is to be believed."""

    BOTH_ENDS = 0.95
    DOCUMENT = 0.9  # what people keep up to date
    ONE_END = 0.8
    LINE = 0.6  # anybody can send one


class Why(Enum):
    """What decided which end is upstream; the value is how far that is to be believed."""

    STATED = 0.95
    RANKS = 0.94
    UPLINK = 0.9
    NAMES = 0.8
    TREE = 0.6
    WAY_OUT = 0.5


class Standing(NamedTuple):
    """Where a device stands in the tree; *stated* is false when only its name suggests it."""

    rank: float
    stated: bool = True


class DeviceLink(NamedTuple):
    """*near* says that it is connected with *far*; the ports are theirs, as described there.

    *needs*: which end needs the other, where the statement says so itself.
    """

    near: str
    far: str
    kind: EvidenceKind
    said: str
    near_port: str = ""
    far_port: str = ""
    needs: Literal["near", "far", ""] = ""
    witness: Witness = Witness.ONE_END


class DecidedOrder(NamedTuple):
    key: EdgeKey
    why: Why


@dataclass(frozen=True)
class Directed:
    """The edges of links, and the pairs about which nothing decides."""

    findings: Mapping[EdgeKey, tuple[EdgeFinding, ...]]
    undecided: tuple[tuple[str, str], ...] = ()


def rank_of(words: str) -> float | None:
    """The rank that the words of a type or a name state; None when they state none."""
    found = _WORD.findall(_SPACED.sub("accesspoint", words).casefold())
    ranks = [_RANK[word] for word in found if word in _RANK]
    if not ranks:
        return None
    tiers = [_TIER[word] for word in found if word in _TIER]
    return tiers[0] if tiers and min(ranks) == SWITCH else min(ranks)


def is_power(words: str) -> bool:
    """Whether the words of a type or a name are of a source of power."""
    return not _POWER.isdisjoint(_WORD.findall(words.casefold()))


def standing_of(name: str, type: str = "", capabilities: Collection[str] = ()) -> Standing | None:
    """Of what is known about a device: its type, the capabilities that it announces, its name."""
    if (rank := rank_of(type)) is not None:
        by_name = rank_of(name) if rank == SWITCH else None  # "switch" alone states no tier
        return Standing(by_name if by_name and CORE <= by_name <= ACCESS else rank)
    by_name = None if is_address(name) else rank_of(name)
    able = {word.casefold() for word in capabilities}
    if able & {"wlan", "wlan-access-point", "wlanaccesspoint"}:
        return Standing(AP)
    if able & {"bridge", "router"} == {"bridge"}:
        return Standing(by_name if by_name and CORE <= by_name <= ACCESS else SWITCH)
    if able & {"bridge", "router"} == {"router"}:
        return Standing(ROUTER)
    if able and not able & {"bridge", "router", "repeater", "other"}:
        return Standing(HOST)
    # Bridge and router: a switch of layer 3, and also every server with containers.
    if by_name is not None:
        return Standing(by_name, stated=False)
    return Standing(SWITCH, stated=False) if able & {"bridge", "router"} else None


def short(name: str) -> str:
    """A host name without its domain; an address stays whole."""
    name = name.strip().rstrip(".")
    return name if is_address(name) else name.partition(".")[0]


def directed(
    links: Iterable[DeviceLink], standings: Mapping[str, Standing], at: datetime, by: str = ""
) -> Directed:
    """*standings* by name, in any case; *at*: when it was said. *by*: the sender of the lines."""
    pairs: dict[frozenset[str], list[DeviceLink]] = defaultdict(list)
    for link in links:
        if (ends := _ends(link)) and len(ends) == 2:
            pairs[ends].append(link)
    known = {name.casefold(): standing for name, standing in standings.items()}
    for link in (one for many in pairs.values() for one in many):
        for name in (link.near, link.far):
            guess = standing_of(name)
            if guess and name.casefold() not in known:
                known[name.casefold()] = guess
    depth = _depths(pairs, known)
    findings: dict[EdgeKey, tuple[EdgeFinding, ...]] = {}
    undecided = []
    for said in pairs.values():
        decision = _decision(said, known, depth)
        if decision is None:
            undecided.append((said[0].near, said[0].far))
        else:
            findings[decision.key] = tuple(_findings(said, decision, at, by))
    return Directed(findings, tuple(undecided))


def _ends(link: DeviceLink) -> frozenset[str]:
    return frozenset(name.casefold() for name in (link.near, link.far) if name)


def _decision(
    links: list[DeviceLink], known: Mapping[str, Standing], depth: Mapping[str, int]
) -> DecidedOrder | None:
    a, b = links[0].near, links[0].far
    stated = {_lower(link) for link in links if link.needs}
    if len(stated) == 1:
        return _decided(a, b, stated.pop() == a.casefold(), Why.STATED)
    if is_power(a) or is_power(b):
        return None
    ends = Ends(a, b, known.get(a.casefold()), known.get(b.casefold()))
    return _by_rank(ends) or _by_uplink(ends, links) or _by_tier(ends) or _by_tree(ends, depth)


class Ends(NamedTuple):
    """The names of both ends, and where they stand."""

    a: str
    b: str
    first: Standing | None
    second: Standing | None


def _by_rank(ends: Ends) -> DecidedOrder | None:
    a, b, first, second = ends
    if first is None or second is None or int(first.rank) == int(second.rank):
        return None
    why = Why.RANKS if first.stated and second.stated else Why.NAMES
    if min(first.rank, second.rank) == ROUTER and max(first.rank, second.rank) < AP:
        why = Why.WAY_OUT
    return _decided(a, b, first.rank > second.rank, why)


def _by_uplink(ends: Ends, links: Iterable[DeviceLink]) -> DecidedOrder | None:
    lower = {name for link in links if (name := _by_port(link))}
    if len(lower) != 1:
        return None
    return _decided(ends.a, ends.b, lower.pop() == ends.a.casefold(), Why.UPLINK)


def _by_tier(ends: Ends) -> DecidedOrder | None:
    """Between two switches."""
    a, b, first, second = ends
    if first is None or second is None or first.rank == second.rank:
        return None
    return _decided(a, b, first.rank > second.rank, Why.NAMES)


def _by_tree(ends: Ends, depth: Mapping[str, int]) -> DecidedOrder | None:
    """The end that is further from the core; of a switch and something unknown, the unknown one,
    unless the tree says the opposite."""
    a, b, first, second = ends
    one, other = (depth.get(name.casefold(), -1) for name in (a, b))
    further = one - other if min(one, other) >= 0 else 0
    if (first is None) != (second is None):
        known = first or second
        if known and CORE <= known.rank <= AP:
            unknown = 1 if first is None else -1
            further = 0 if further * unknown < 0 else unknown
    return _decided(a, b, further > 0, Why.TREE) if further else None


def _decided(a: str, b: str, is_a_below: bool, why: Why) -> DecidedOrder:
    return DecidedOrder(EdgeKey(a, b) if is_a_below else EdgeKey(b, a), why)


def _lower(link: DeviceLink) -> str:
    return (link.near if link.needs == "near" else link.far).casefold()


def _by_port(link: DeviceLink) -> str:
    """The lower end, where the description of a port tells; "" when it does not."""
    lower = set()
    for port, mine, other in (
        (link.near_port, link.near, link.far),
        (link.far_port, link.far, link.near),
    ):
        if _UPLINK.search(port):
            lower.add(mine.casefold())
        if _DOWNLINK.search(port):
            lower.add(other.casefold())
    return lower.pop() if len(lower) == 1 else ""


def _depths(pairs: Iterable[frozenset[str]], known: Mapping[str, Standing]) -> Mapping[str, int]:
    """Links from the core switches, and none on the far side of a router; without a core switch
    from the routers."""
    beside: dict[str, list[str]] = defaultdict(list)
    for a, b in pairs:
        if not is_power(a) and not is_power(b):
            beside[a].append(b)
            beside[b].append(a)
    ranks = {name: known[name].rank for name in beside if name in known}
    top = next((rank for rank in (CORE, DISTRIBUTION, ROUTER) if rank in ranks.values()), None)
    depth = {name: 0 for name, rank in ranks.items() if rank == top}
    waiting = deque(depth)
    while waiting:
        name = waiting.popleft()
        if depth[name] and ranks.get(name) == ROUTER:
            continue
        for other in beside[name]:
            if other not in depth:
                depth[other] = depth[name] + 1
                waiting.append(other)
    return depth


def _findings(
    links: list[DeviceLink], decision: DecidedOrder, at: datetime, by: str
) -> Iterator[EdgeFinding]:
    """One for each kind of evidence."""
    kinds: dict[EvidenceKind, list[DeviceLink]] = defaultdict(list)
    for link in links:
        kinds[link.kind].append(link)
    for kind, said in kinds.items():
        witness = max((link.witness for link in said), key=lambda one: one.value)
        told_by = {link.near.casefold() for link in said if link.witness is Witness.ONE_END}
        if len(told_by) == 2:
            witness = Witness.BOTH_ENDS
        texts = dict.fromkeys(link.said[:SENTENCE_KEPT] for link in said if link.said)
        yield EdgeFinding(
            kind=kind,
            confidence=round(witness.value * decision.why.value, 3),
            senders=(by,) if by else (),
            evidence=tuple(texts)[:EVIDENCE_KEPT],
            first_seen=at,
            last_seen=at,
        )
