"""Of all rules that match a line one wins: the most specific. Pure.

A rule of the site's own packs comes first, then one of a maker, of a topic, a generic one. Within a
kind the regex with more fixed characters wins, then the higher severity, then the first in order.
A harmless rule and a clear take part. Bursts do not: they count beside the winner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args

from anomaly_detection.detectors.literals import fixed
from anomaly_detection.rules import Burst, Kind, LineRule, Pattern

KINDS: Sequence[Kind] = get_args(Kind)
Precedence = tuple[int, int, int, int]  # the smallest wins


def precedence(rule: LineRule, place: int) -> Precedence:
    """The place of *rule* among all that match the same line; *place* is that of the files."""
    severity = rule.severity.rank if isinstance(rule, Pattern) else -1
    return (KINDS.index(rule.kind), -specific(rule), -severity, place)


def specific(rule: LineRule) -> int:
    """The fixed characters of *rule*."""
    return fixed(rule.regex) + (fixed(rule.near) if rule.near else 0)


def ranked(
    matches: Sequence[tuple[LineRule, re.Match[str]]], order: Mapping[str, Precedence]
) -> Sequence[tuple[LineRule, re.Match[str]]]:
    """*matches* without bursts, the winner first; *order* has the precedence of each rule by id."""
    deciding = [one for one in matches if not isinstance(one[0], Burst)]
    return sorted(deciding, key=lambda one: order[one[0].id]) if len(deciding) > 1 else deciding


def why(winner: LineRule, loser: LineRule) -> str:
    """Why *winner* beats *loser*, for a person."""
    if winner.kind != loser.kind:
        return f"a {winner.kind} pack beats a {loser.kind} one"
    more, fewer = specific(winner), specific(loser)
    if more != fewer:
        return f"{more} fixed characters beat {fewer}"
    return "the higher severity, else the first in order"
