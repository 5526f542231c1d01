"""The objects that a message speaks of: interfaces, units, disks, sessions, addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aiops_core.models import Evidence

OBJECTS_MOST = 24
SHORTEST = 3  # characters: a shorter name is in too many lines
READ_MOST = 1000  # characters of a message

_OBJECTS = re.compile(
    r"\b(?:"
    r"(?:gi|te|fa|twe|hu|fo|eth|ens|enp|eno|ge-|xe-|et-|po|lag|bond|ether|wan|port\d)[\w/.:-]*\d[\w/.:-]*"
    r"|sd[a-z]{1,2}|nvme\d\w*|md\d+|da\d+"
    r"|(?:\d{1,3}\.){3}\d{1,3}"
    r"|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}"
    r"|[\w@-]+\.service"
    r")\b"
    r"|(?<![\w/])/(?:dev|var|data|srv|mnt|home|opt|export|backup|volume\d*)[\w./-]+",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\b(?:session|sid|pid|process|transaction|trx|connection|thread|query|job|vlan|lease|call)"
    r"(?: ?(?:id|no\.?|number))?[ =:#]{1,2}['\"]?(?P<id>[\w.-]*\d[\w.-]*)",
    re.IGNORECASE,
)


def objects_of(members: Iterable[Evidence]) -> tuple[str, ...]:
    """The names of what *members* are about, at most 24, in their order."""
    names = (name.strip(".,:;") for member in members for name in _of(member))
    return tuple(dict.fromkeys(name for name in names if len(name) >= SHORTEST))[:OBJECTS_MOST]


def _of(member: Evidence) -> Iterator[str]:
    if member.peer:
        yield member.peer
    for part in member.component.split(", "):
        yield part.partition(" ")[2]
    text = member.msg[:READ_MOST]
    yield from (found[0] for found in _OBJECTS.finditer(text))
    yield from (found["id"] for found in _NUMBERED.finditer(text))


def mentions(text: str, names: Iterable[str]) -> bool:
    """Whether *text* names one of *names*, not only as a part of a longer name."""
    lowered = text.lower()
    return any(
        name.lower() in lowered
        and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        for name in names
    )
