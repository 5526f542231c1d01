"""Titles and descriptions of incidents, in words of a person. Pure.

A title says what happened, to what, where and how often, in at most ``LONGEST`` characters. What
happened and to what is the *label* of the evidence at the root; it is made once, from the wording
of its type in ``policies/correlate.yaml``. The rest is about the incident.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from aiops_core.gist import ELLIPSIS, ordinal, shortened
from aiops_core.models import EnrichedAnomaly, Evidence, Recurrence
from correlation_service.policy import CorrelatePolicy
from correlation_service.told import has_word, values_of

LONGEST = 90  # characters of a title
LONGEST_NAME = 40  # of a device in it
LONGEST_CADENCE = 24
WORTH_CUTTING = 24  # characters; of less nothing remains that a person understands
LABEL_LEAST = 60  # characters that a label keeps, whatever is said about the incident
NAMED_DEVICES = 5
NEW_WORDS = 0.25  # share of the words of a line that makes it worth to be repeated in full
MASK = "<*>"  # what stands for a variable part in a template; no word for a person
SHARED = {
    "peer": "peer",
    "service": "service",
    "device": "device",
    "attacked": "attacked device",
    "type": "type of anomaly",
}

_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_PLACES = re.compile(r"\{([\w|]+)\}")
_KIND = re.compile(r"^([A-Z][^{\[:]+)(\[?): (?=\{)")
_FILLERS = frozenset(("trouble", "error", "failure", "failed", "alarm", "event", "overload", "is"))
_AT_A_PLACE = re.compile(
    r" on (?:[a-z]+ )?\S*\d\S*$"
)  # "… on eth0 of sw-1", not "… on eth0 on sw-1"
_JOINT = re.compile(r"(?:,? (?:on|of|from))? $")
_WORD = re.compile(r"[^\W\d_]{3,}")


# -- labels ---------------------------------------------------------------------------------------


def label(policy: CorrelatePolicy, anomaly: EnrichedAnomaly) -> str:
    """The title of an incident of *anomaly* alone."""
    values = values_of(anomaly, policy.program_of)
    values["device"] = device = _name(anomaly.device)
    titles = policy.wording_of(anomaly.anomaly_type).title
    text = next(filter(None, (_filled(title, values) for title in titles)), "")
    if (limit := values.get("limit")) and values["value"] in text:
        text += f" (limit {limit})"
    return fitted(_capital(text, values) or device, device, LONGEST)


def _filled(title: str, values: Mapping[str, str]) -> str:
    """*title* with its places filled in; empty when one of them has no value.

    Nothing is said twice: no kind before a sentence that says it, no device or peer behind one.
    """
    said = _value("what", values)
    kind = _KIND.match(title)
    tells = bool(said) and _first_in(title, values) == "what"
    if kind and tells and _says_kind(said, kind[1]):
        title = title.replace(kind[0], kind[2], 1)
    if tells:
        if has_word(said, values["device"]):
            title = title.replace(" on {device}", "")
        elif _AT_A_PLACE.search(said):
            title = title.replace(" on {device}", " of {device}")
        if (peer := values.get("peer")) and peer in said:
            title = title.replace("[ from {peer}]", "")
    text = _OPTIONAL.sub(lambda part: _part(part[1], values), title)
    return _part(text, values)


def _says_kind(text: str, kind: str) -> bool:
    """Whether *text* has the words of *kind*, but for those that only say that it is bad."""
    stems = [word[:6] for word in kind.casefold().split() if word not in _FILLERS]
    return all(stem in text.casefold() for stem in stems)


def _first_in(text: str, values: Mapping[str, str]) -> str:
    """The name of the value that the first place in *text* is given."""
    place = _PLACES.search(text)
    names = place[1].split("|") if place else []
    return next((name for name in names if values.get(name)), "")


def _part(text: str, values: Mapping[str, str]) -> str:
    """*text* with its places filled in, or nothing if one of them has no value."""
    if not all(_value(place, values) for place in _PLACES.findall(text)):
        return ""
    return _PLACES.sub(lambda place: _value(place[1], values), text)


def _value(place: str, values: Mapping[str, str]) -> str:
    """The first value that is known of the names of a *place*, as in ``component|what``."""
    return next((values[name] for name in place.split("|") if values.get(name)), "")


def _capital(text: str, values: Mapping[str, str]) -> str:
    """*text* with a capital at its beginning, unless it begins with a name."""
    first = text.split(" ", 1)[0].rstrip(",")
    is_word = first.isalpha() and first.islower()
    return text[:1].upper() + text[1:] if is_word and not _is_name(text, values) else text


def _is_name(text: str, values: Mapping[str, str]) -> bool:
    names = (values.get(name) for name in ("device", "service", "peer", "unit"))
    return any(name and text.startswith(name) for name in names)


def words(anomaly_type: str) -> str:
    return anomaly_type.replace("_", " ")


# -- titles ---------------------------------------------------------------------------------------


def title(
    root: Evidence,
    devices: int,
    silent: str = "",
    flaps: int = 0,
    is_list: bool = False,
    alike: int = 0,
    recurrence: Recurrence | None = None,
) -> str:
    """The title of an incident with *root* as its evidence, which affects *devices* devices.

    *silent* is a device that is held responsible although it says nothing itself; *alike* counts
    further addresses or parts of the device of which the same is known.
    """
    device = _name(silent or root.device)
    if is_list:
        first = root.label or f"{words(root.anomaly_type)} on {device}"
        return _with_tails(first, device, (_single(devices),))
    if silent:
        text = f"{device} is probably down: {devices} devices that need it have lost it"
        return _with_tails(text, device, ("", "", _again(recurrence)))
    more = _more(root, alike) + _others(devices)
    return _with_tails(
        root.label or f"{words(root.anomaly_type)} on {device}",
        device,
        (" (flapping)" if flaps else "", more, _again(recurrence)),
    )


def _with_tails(text: str, device: str, tails: Sequence[str]) -> str:
    """*text* and as many of *tails* as there is space for; the last ones matter most."""
    kept: list[str] = []
    for tail in reversed(tails):
        room = LONGEST - sum(map(len, kept)) - len(tail)
        if room >= min(len(text), LABEL_LEAST):
            kept.insert(0, tail)
    return fitted(text, device, LONGEST - sum(map(len, kept))) + "".join(kept)


def _single(devices: int) -> str:
    """What else is in a list of single errors, which nothing connects."""
    if devices <= 1:
        return ", and other single errors"
    return f", and single errors on {devices - 1} more {'device' if devices == 2 else 'devices'}"


def _others(devices: int) -> str:
    if devices <= 1:
        return ""
    return f", {devices - 1} more {'device' if devices == 2 else 'devices'} affected"


def _more(root: Evidence, alike: int) -> str:
    """Of how many other addresses, or parts of the device, the same is known."""
    if not alike:
        return ""
    if root.peer:
        return f", {alike} more {'address' if alike == 1 else 'addresses'}"
    kind = root.component.split(" ", 1)[0] if "," not in root.component else "part"
    return f", {alike} more {kind if alike == 1 else f'{kind}s'}" if kind.isalpha() else ""


def _again(recurrence: Recurrence | None) -> str:
    """How often it comes, and that it is the 43rd time."""
    if recurrence is None or recurrence.occurrence < 2:
        return ""
    cadence = shortened(" ".join(recurrence.cadence.split()), LONGEST_CADENCE)
    often = f", {cadence}" if cadence else ""
    return f"{often} ({ordinal(recurrence.occurrence)} time)"


def fitted(text: str, device: str, room: int) -> str:
    """*text* in at most *room* characters, cut at words, with *device* whole."""
    text = " ".join(text.replace(MASK, ELLIPSIS).split())
    if len(text) <= room:
        return text
    at = text.rfind(device)
    if at < 0:
        return shortened(text, room)
    before, after = text[:at], text[at + len(device) :]
    joint = _JOINT.search(before)
    before, on = (before[: joint.start()], joint[0]) if joint else (before, "")
    space = room - len(on) - len(device)
    after_space = max(space - len(before), min(len(after), space // 3))
    if len(after) > after_space:
        after = shortened(after, after_space) if after_space >= WORTH_CUTTING else ""
    before = shortened(before, space - len(after)) if before else ""
    return f"{before}{on}{device}{after}".strip()


def _name(device: str) -> str:
    """*device* in one line, whole unless it alone is too long."""
    name = " ".join(device.replace(MASK, ELLIPSIS).split()) or "a device"
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + ELLIPSIS


# -- descriptions ---------------------------------------------------------------------------------


def description(
    firsts: Mapping[str, Evidence],
    count: int,
    root: Evidence,
    flaps: Sequence[datetime],
    title: str = "",
    recurrence: Recurrence | None = None,
    since: datetime | None = None,
) -> str:
    """Since when, where and how often; and the line at the root, unless *title* says it.

    *since* an earlier occurrence, if given; *count* counts the anomalies of all.
    """
    devices = ", ".join(list(firsts)[:NAMED_DEVICES])
    more = len(firsts) - NAMED_DEVICES
    where = devices + (f" and {more} more" if more > 0 else "")
    times = "1 anomaly" if count == 1 else f"{count} anomalies"
    since = since or min(first.ts for first in firsts.values())
    since_when = f"{times} on {where} since {since:%Y-%m-%d %H:%M:%S} UTC."
    said = "" if _says(title, root.msg) else f" At the root: {root.msg}"
    return f"{since_when}{_flapping(flaps)}{_before(recurrence)}{said}"


def _says(text: str, msg: str) -> bool:
    """Whether *text* has nearly all words of *msg*."""
    known, said = set(_WORD.findall(text.casefold())), _WORD.findall(msg.casefold())
    return sum(word not in known for word in said) <= len(said) * NEW_WORDS


def _before(recurrence: Recurrence | None) -> str:
    """When it came before, and what ended it then."""
    if recurrence is None or recurrence.previous is None:
        return ""
    ended = f", ended by {recurrence.resolved_before}" if recurrence.resolved_before else ""
    return f" Last time at {recurrence.previous:%Y-%m-%d %H:%M} UTC{ended}."


def _flapping(flaps: Sequence[datetime]) -> str:
    """How often it recovered, and in how many minutes."""
    if not flaps:
        return ""
    minutes = max(1, round((flaps[-1] - flaps[0]).total_seconds() / 60))
    return f" Flapping, recovered {len(flaps)} times in {minutes} min."
