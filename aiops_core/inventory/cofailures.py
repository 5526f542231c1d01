"""Dependencies learned from time: whose troubles come with whose, and after them. Pure.

1. A device's *onsets* are the times at which trouble of a family begins there after ``apart``
   without it. What begins nearly everywhere at once has a common cause and counts for nothing.
2. Two devices *fail together* when both have an onset ``within`` a short time; such episodes of
   one pair are at least ``apart`` from each other, so a storm is one episode however long it is.
3. Of all pairs those remain that fail together more often than chance, at a stated false discovery
   rate (Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57, 1995).
4. Three explanations of a pair are weighed by Bayes: the first needs the second, the second needs
   the first, or both need something else. The one that needs begins later, and also fails alone;
   what it needs was now and then the first of all that failed together.
5. An edge whose episodes other edges of the device explain already is left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

from aiops_core.inventory.suggestions import EdgeFinding, EdgeKey

TROUBLES_READ = 50_000  # the newest
CROWD = 200  # devices that begin together; more of them are not compared with each other
FEW = 10  # devices of which all may fail at once without a common cause from outside
NAME_TOLD = 100  # characters of a name in a sentence
LEAST_SPAN = 6 * 3600.0  # s: rates of a shorter history say nothing
AROUND = 1800.0  # s on both sides of an onset, from which the rate at that time of day is taken
SEEN_LATER = 0.9  # how often that which needs begins later than what it needs
ALONE_ABOVE, ALONE_BESIDE = 0.3, 0.5  # how often one fails without what needs it; without another
LEAST_CHANCE = 0.25  # of being the first by chance, however many fail together: some are quick
PROBABLE = 0.5  # what is as certain explains its episodes
SHOWN = 0.1  # what is less certain is not worth a person's look
SIBLINGS, NEEDS = 0.8, 0.1  # how common these explanations are


class Trouble(NamedTuple):
    """The first anomaly of an alert: that *device* had trouble of a *family* from then on."""

    device: str
    family: str
    began: datetime


@dataclass(frozen=True)
class CofailureRules:
    """*within*: s between two onsets that belong together. *apart*: s between two episodes.

    *least* episodes make an edge. *discovery_rate*: the share of pairs that may be chance.
    *everywhere*: the share of all devices from which on a common cause is assumed.
    """

    within: float = 20.0
    apart: float = 600.0
    least: int = 3
    discovery_rate: float = 0.01
    everywhere: float = 0.8


class Pair(NamedTuple):
    """Two devices that fail together; *lags* (s, *second* after *first*) by episode."""

    first: str
    second: str
    lags: Mapping[float, float]

    @property
    def reverse(self) -> Pair:
        return Pair(self.second, self.first, {at: -lag for at, lag in self.lags.items()})


class Edge(NamedTuple):
    """``pair.second`` probably needs ``pair.first``."""

    pair: Pair
    confidence: float
    alone: int  # times that the upper one failed without the other
    own: int  # times that the upper one was the first of all


def learned(troubles: Iterable[Trouble], rules: CofailureRules) -> dict[EdgeKey, EdgeFinding]:
    """What *troubles* say about who needs whom."""
    onsets = onsets_of(troubles, rules)
    pairs = [pair for pair in together(onsets, rules) if len(pair.lags) >= rules.least]
    sure = significant(pairs, onsets, rules)
    return {
        EdgeKey(edge.pair.second, edge.pair.first): _finding(edge)
        for edge in reduced(list(directed(sure, onsets, rules)), rules)
    }


def onsets_of(troubles: Iterable[Trouble], rules: CofailureRules) -> dict[str, list[float]]:
    """Device -> the times (s) at which trouble begins there, without those that began everywhere
    at once."""
    newest = sorted(set(troubles), key=lambda trouble: trouble.began)[-TROUBLES_READ:]
    last: dict[tuple[str, str], float] = {}
    found: defaultdict[str, list[float]] = defaultdict(list)
    for trouble in newest:
        at, key = trouble.began.timestamp(), (trouble.device, trouble.family)
        if at - last.get(key, -math.inf) >= rules.apart:
            known = found[trouble.device]
            if not known or at - known[-1] > rules.within:
                known.append(at)
        last[key] = at
    return _without_crowds(found, rules)


def _without_crowds(
    onsets: Mapping[str, list[float]], rules: CofailureRules
) -> dict[str, list[float]]:
    most = rules.everywhere * len(onsets) if len(onsets) >= FEW else math.inf
    dropped: set[tuple[float, str]] = set()
    window: deque[tuple[float, str]] = deque()
    for now in sorted((at, device) for device, times in onsets.items() for at in times):
        window.append(now)
        while now[0] - window[0][0] > rules.within:
            window.popleft()
        if len({device for _, device in window}) > min(most, CROWD):
            dropped.update(window)
    kept = {d: [at for at in times if (at, d) not in dropped] for d, times in onsets.items()}
    return {device: times for device, times in kept.items() if times}


def together(onsets: Mapping[str, Sequence[float]], rules: CofailureRules) -> Iterator[Pair]:
    """The pairs of devices that ever fail together, each once."""
    lags: defaultdict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    window: deque[tuple[float, str]] = deque()
    for at, device in sorted((at, device) for device, times in onsets.items() for at in times):
        while window and at - window[0][0] > rules.within:
            window.popleft()
        for earlier, other in window:
            if other == device:
                continue
            first, second = sorted((device, other))
            episodes = lags[first, second]
            if not episodes or earlier - next(reversed(episodes)) >= rules.apart:
                lag = at - earlier
                episodes[earlier] = lag if second == device else -lag
        window.append((at, device))
    return (Pair(first, second, episodes) for (first, second), episodes in lags.items())


def significant(
    pairs: Sequence[Pair], onsets: Mapping[str, Sequence[float]], rules: CofailureRules
) -> list[Pair]:
    """Those of *pairs* that are no chance, at the false discovery rate, among all pairs that there
    could be."""
    if not pairs:
        return []
    ends = [at for times in onsets.values() for at in (times[0], times[-1])]
    span = max(max(ends) - min(ends), LEAST_SPAN)
    weighed = sorted((_rarer(pair, onsets, span, rules), pair[:2], pair) for pair in pairs)
    tests = len(onsets) * (len(onsets) - 1) / 2
    passed = 0
    for n, (chance, _, _) in enumerate(weighed, start=1):
        if chance <= rules.discovery_rate * n / tests:
            passed = n
    return [pair for _, _, pair in weighed[:passed]]


def _rarer(
    pair: Pair, onsets: Mapping[str, Sequence[float]], span: float, rules: CofailureRules
) -> float:
    """The chance seen from the one of both from which it is more probable."""
    return max(_chance(one, onsets, span, rules) for one in (pair, pair.reverse))


def _chance(
    pair: Pair, onsets: Mapping[str, Sequence[float]], span: float, rules: CofailureRules
) -> float:
    """How probably so many onsets of the first would meet one of the second by chance, at the
    second's rate (Poisson) over all the time, or around the onsets of the first if that is higher:
    troubles of all kinds come more often at some hours."""
    mine, others = onsets[pair.first], onsets[pair.second]
    near = sum(_count(others, at, AROUND) - _count(others, at, rules.within) for at in mine)
    rate = max(len(others) / span, near / (len(mine) * 2 * (AROUND - rules.within)))
    meets = 1 - math.exp(-rate * 2 * rules.within)
    return _binomial_tail(len(pair.lags), max(len(mine), len(pair.lags)), meets)


def _count(times: Sequence[float], at: float, around: float) -> int:
    return bisect_right(times, at + around) - bisect_left(times, at - around)


def _binomial_tail(least: int, of: int, chance: float) -> float:
    """The probability of at least *least* successes."""
    if chance <= 0:
        return 0.0
    if chance >= 1:
        return 1.0
    logs = (
        math.lgamma(of + 1)
        - math.lgamma(n + 1)
        - math.lgamma(of - n + 1)
        + n * math.log(chance)
        + (of - n) * math.log1p(-chance)
        for n in range(least, of + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def directed(
    pairs: Sequence[Pair], onsets: Mapping[str, Sequence[float]], rules: CofailureRules
) -> Iterator[Edge]:
    """Each of *pairs* as an edge in the direction that is more probable."""
    outbreaks = Outbreaks(pairs, rules)
    for pair in pairs:
        views = [_view(one, outbreaks, onsets, rules) for one in (pair, pair.reverse)]
        yield max(views, key=lambda edge: edge.confidence)


def _view(
    pair: Pair, outbreaks: Outbreaks, onsets: Mapping[str, Sequence[float]], rules: CofailureRules
) -> Edge:
    """How probably the second of *pair* needs the first.

    An order speaks for it only where the first was the first of all: two that suffer from the same
    may always tell of it in the same order.
    """
    alone = max(_episodes(onsets[pair.first], rules) - len(pair.lags), 0)
    needs, siblings = NEEDS * (ALONE_ABOVE / ALONE_BESIDE) ** alone, SIBLINGS
    needed, own = NEEDS, 0
    for at, lag in pair.lags.items():
        first = outbreaks.chance_of_first(pair, at)
        if first is not None:
            own += 1
            likely = SEEN_LATER, 1 - SEEN_LATER, first
        else:
            likely = (0.5, 0.5, 0.5) if lag > 0 else (1 - SEEN_LATER, SEEN_LATER, 0.5)
        needs, needed, siblings = needs * likely[0], needed * likely[1], siblings * likely[2]
    return Edge(pair, needs / (needs + needed + siblings), alone, own)


class Outbreaks:
    """Which device was the first of all that fail together with it."""

    def __init__(self, pairs: Iterable[Pair], rules: CofailureRules) -> None:
        self._within = rules.within
        self._lags: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for pair in pairs:
            for one in (pair, pair.reverse):
                own = ((_upper(at, lag), lag) for at, lag in one.lags.items())
                self._lags[one.first].extend(own)
        for lags in self._lags.values():
            lags.sort()

    def chance_of_first(self, pair: Pair, at: float) -> float | None:
        """How probably the first device of *pair* was by chance the first of all in the episode
        *at*; None if it was not."""
        lag, known = pair.lags[at], self._lags[pair.first]
        start = _upper(at, lag)
        low = bisect_left(known, (start - self._within, -math.inf))
        high = bisect_right(known, (start + self._within, math.inf))
        near = [lag for _, lag in known[low:high]]
        if lag <= 0 or any(other < 0 for other in near):
            return None
        return max(1 / (len(near) + 1), LEAST_CHANCE)


def _upper(at: float, lag: float) -> float:
    """When the first device of a pair failed in an episode that began *at*."""
    return at if lag > 0 else at - lag


def _episodes(times: Sequence[float], rules: CofailureRules) -> int:
    """How many of the onsets are apart from the one before."""
    count, last = 0, -math.inf
    for at in times:
        if at - last >= rules.apart:
            count, last = count + 1, at
    return count


def reduced(edges: Sequence[Edge], rules: CofailureRules) -> Iterator[Edge]:
    """Of each device the edges that explain its episodes; one that explains nothing more than
    better ones do is indirect, or to a device that suffers from the same."""
    below = Counter(edge.pair.first for edge in edges)
    above: defaultdict[str, list[Edge]] = defaultdict(list)

    def rank(edge: Edge) -> tuple[object, ...]:
        """First what surely explains many episodes of the device, then many devices, from afar."""
        lags, upper = edge.pair.lags, edge.pair.first
        explains = len(lags) * (edge.confidence if edge.confidence < PROBABLE else 1)
        return -explains, -below[upper], -median(lags.values()), upper

    for edge in edges:
        if edge.confidence >= SHOWN:
            above[edge.pair.second].append(edge)
    for device in sorted(above):
        explained: set[float] = set()
        for edge in sorted(above[device], key=rank):
            own = {at + lag for at, lag in edge.pair.lags.items()}
            new = {at for at in own if not _near(explained, at, rules.within)}
            if len(new) >= min(2, rules.least):
                explained |= own
                yield edge


def _near(times: Iterable[float], at: float, within: float) -> bool:
    return any(abs(at - other) <= within for other in times)


def _finding(edge: Edge) -> EdgeFinding:
    upper, lags = edge.pair.first, edge.pair.lags
    of = len(lags) + edge.alone
    slowest = math.ceil(max(map(abs, lags.values())))
    said = (
        f"they failed together {len(lags)} times of {of}, within {slowest} s",
        f"{_short(upper)} was the first of all {edge.own} times",
    )
    return EdgeFinding(
        kind="time",
        confidence=round(edge.confidence, 3),
        evidence=said,
        first_seen=_moment(min(lags)),
        last_seen=_moment(max(lags)),
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_TOLD else name[:NAME_TOLD] + "…"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
