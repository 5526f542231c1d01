"""The name of a part of a device (an interface, a fan, a unit), spelled one way. Pure.

One device writes ``GigabitEthernet1/0/24``, ``Gi1/0/24`` and ``gi1/0/24`` for one port, and what
one line reports another one clears. So both are given the same name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

LONGEST = 200  # characters of a component
UNNAMED = "-"  # of a recovery: it is about what names no component; no part is spelled like that

# Kinds of interfaces as their makers write them, and the short name that stands for all of them.
_KINDS = {
    "Fa": "fa fas fastethernet",
    "Gi": "gi gig gige ge gigabitethernet gigabiteth",
    "Te": "te ten tengige tengig tengigabitethernet ten-gigabitethernet xge xgigabitethernet",
    "Twe": "twe twentyfivegige twentyfivegigabitethernet 25ge",
    "Fo": "fo fortygige fortygigabitethernet 40ge",
    "Hu": "hu hundredgige hundredgigabitethernet 100ge",
    "Eth": "et eth ethernet",
    "Po": "po port-channel portchannel",
    "BE": "be bundle-ether",
    "BAGG": "bagg bridge-aggregation",
    "Eth-Trunk": "eth-trunk",
    "Vlan": "vl vlan vlanif vlan-interface",
    "Lo": "lo loopback",
    "Tu": "tu tunnel",
    "Se": "se serial",
    "Di": "di dialer",
    "Mgmt": "mgmt mgmteth",
}
_SHORT = {name: short for short, names in _KINDS.items() for name in names.split()}
_INTERFACE = re.compile(r"([a-z][a-z-]*?|\d+ge) ?(\d[\d/:.]*)", re.IGNORECASE)
_UNIT = re.compile(r"\.service$", re.IGNORECASE)
_AROUND = " \t\"'\u201c\u201d\u2018\u2019()[]<>,;:."  # blanks, quotes and punctuation


def component_of(names: Sequence[str], groups: Mapping[str, str | None]) -> str:
    """``interface Gi1/0/24``: each of *names* that *groups* gives a value; empty without any."""
    found = [(name, groups.get(name)) for name in names]
    parts = [f"{name} {spelled(value)}" for name, value in found if value and value.strip(_AROUND)]
    return ", ".join(parts)[:LONGEST]


@lru_cache(4096)
def spelled(value: str) -> str:
    """*value* in the spelling that stands for all of its spellings."""
    text = " ".join(value.strip(_AROUND).split())
    interface = _INTERFACE.fullmatch(text)
    short = _SHORT.get(interface[1].lower()) if interface else None
    if interface and short:
        number = interface[2].rstrip(".:/")
        return (
            f"{short}{number}"
            if "/" in number or short not in ("Eth", "Lo")
            else (f"{short}{number}".lower())
        )
    return _UNIT.sub("", text).lower()
