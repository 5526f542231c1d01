"""One item over many devices, as a person sees it: on how many it is, and what it is called. Pure.

correlation-service says of which spread an occurrence is (``Recurrence.spread``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from aiops_core.gist import ELLIPSIS, shortened

LONGEST = 90  # characters of a title
LEAST_WORDS = 2  # that titles must share to be one
_TAIL = re.compile(
    r"(?:, [^,()]{1,40})? \(\d+(?:st|nd|rd|th) time\)|, \d+ more [a-z]+(?: affected)?"
    r"| and \d+ more| \(flapping\)"
)
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do"} | {
    f"{verb}s": verb for verb in ("report", "write", "send")
}
_VERB = re.compile(r"^((?:no longer )?)(\w+)")


def wide_spreads(places: Iterable[tuple[str, str]], least: int) -> Mapping[str, int]:
    """On how many devices each spread is, given *places*: spreads and devices. Those on fewer than
    *least* are none."""
    devices: dict[str, set[str]] = {}
    for spread, device in places:
        if spread:
            devices.setdefault(spread, set()).add(device)
    return {spread: len(found) for spread, found in devices.items() if len(found) >= least}


def title_over(titles: Sequence[str], devices: Collection[str], number: int) -> str:
    """What happened "on 51 devices": what all *titles* say, of which the first is the newest.

    *devices* are the names that may be in them, *number* is how many there are.
    """
    many = f"{number} devices"
    names = sorted(devices, key=len, reverse=True)
    said = list(dict.fromkeys(_without_device(one, names) for one in titles if one))
    first = said[0] if said else ""
    text = _common(first, said[1:])
    if text.startswith(_HERE):
        return shortened(f"{many} {_plural(text.removeprefix(_HERE).strip())}".strip(), LONGEST)
    text = text.replace(_HERE, "").strip()
    room = LONGEST - len(many) - len(" on ")
    return f"{shortened(text, room)} on {many}" if text else f"The same on {many}"


def _plural(said: str) -> str:
    """What one device does or is, said of many."""
    return _VERB.sub(lambda found: found[1] + _PLURAL.get(found[2], found[2]), said, count=1)


_HERE = "\x00"  # where a title begins with its device


def _without_device(title: str, devices: Sequence[str]) -> str:
    """*title* without what is about one device alone: its name, and how often it came there.

    *devices*: the longest first.
    """
    text = _TAIL.sub("", title)
    for device in devices:
        if device not in text:
            continue  # a pattern for each of a thousand devices costs seconds
        name = rf"(?<![\w.-]){re.escape(device)}(?![\w-]|\.\w)"
        if re.match(name, text):
            text = re.sub(name, _HERE, text, count=1)
        else:
            text = re.sub(rf" (?:on|of|from) {name}.*", "", text, count=1)
        text = re.sub(name, ELLIPSIS, text)
    return " ".join(text.split(" "))


def _common(title: str, others: Sequence[str]) -> str:
    """The words of *title* that all *others* have, what differs left out; itself when they share
    too little."""
    known = [set(map(_bare, one.split())) for one in others]
    words = title.split()
    kept = [word if all(_bare(word) in one for one in known) else ELLIPSIS for word in words]
    shared = [word for word in kept if word not in (ELLIPSIS, _HERE)]
    if len(shared) < min(LEAST_WORDS, len(words)):
        return title
    runs = (w for n, w in enumerate(kept) if w != ELLIPSIS or not n or kept[n - 1] != ELLIPSIS)
    return " ".join(runs).removesuffix(f" {ELLIPSIS}").rstrip(",:")


def _bare(word: str) -> str:
    return word.rstrip(f".,:;{ELLIPSIS}") or word
