"""Which numbers, names and quotations of an explanation no fact has. Pure.

Advice is not judged: what it names are values to set and commands to type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from aiops_core.models import LlmInsights
from llm_enricher.question import Question

QUOTED = re.compile(r"“([^”]*)”|\"([^\"]*)\"")
TOKEN = re.compile(r"[^\W_](?:[\w./:@\\-]*\w)?")
NAMED = re.compile(r"\d|\w\.\w{2,}\.\w|[a-z]\\[a-z]")  # numbers, devices, ports, addresses, hosts
KNOWN = frozenset({"802.1x", "es/n0", "c/n0", "ipv4", "ipv6", "l1", "x509", "e.g", "i.e"})
TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%H:%M:%S", "%H:%M", "%d", "%-d", "%Y")


def unsupported(answer: LlmInsights, question: Question) -> list[str]:
    """What *answer* states and no fact of *question* has, in the order in which it stands."""
    facts = _flat(" ".join(_texts(question)))
    words = {word.lower() for word in TOKEN.findall(facts)} | set(_numbers(question)) | KNOWN
    said = [text for text in (answer.root_cause, answer.impact, answer.narrative) if text]
    found = [*_quotes(said, facts), *_names(said, words, facts)]
    return list(dict.fromkeys(found))


def _texts(question: Question) -> Iterator[str]:
    incident = question.incident
    yield from (incident.title, incident.description, *incident.corr_keys)
    yield from (*incident.affected_devices, *incident.affected_services)
    if root := incident.root_cause:
        yield from filter(None, (root.device, root.service, root.reason))
    for one in incident.evidence:
        yield from (one.msg, one.device, one.host, one.service, one.component, one.peer)
        yield from (one.label, one.reason, one.anomaly_type, one.metric, *one.upstream)
    for fact in question.context:
        yield from (fact.text, fact.device, fact.service)
    for document in question.documents:
        yield from (document.title, document.text, document.resolution)


def _flat(text: str) -> str:
    return " ".join(text.lower().split())


def _numbers(question: Question) -> Iterator[str]:
    """Times, counts and durations that follow from the facts."""
    incident = question.incident
    moments = [incident.first_seen, incident.last_seen]
    moments += [one.ts for one in incident.evidence] + [fact.ts for fact in question.context]
    for moment in moments:
        yield from _spellings(moment)
    counts = [kind.count for kind in question.kinds]
    counts += [incident.anomaly_count, len(incident.evidence), len(question.kinds)]
    counts += [len(incident.affected_devices), len(incident.affected_services)]
    counts += [len(incident.affected_devices) - 1, sum(kind.count for kind in question.kinds)]
    yield from map(str, counts)
    yield from _durations(incident.last_seen - incident.first_seen)


def _spellings(moment: datetime) -> Iterator[str]:
    for form in TIMES:
        yield from moment.strftime(form).split(" ")


def _durations(span: timedelta) -> Iterator[str]:
    seconds = span.total_seconds()
    for unit in (1, 60, 3600, 86400):
        yield from {f"{seconds / unit:.0f}", f"{int(seconds // unit)}", f"{seconds / unit:.1f}"}


def _quotes(said: Iterable[str], facts: str) -> Iterator[str]:
    """Quotations, of which each part between dots of omission must occur."""
    for text in said:
        for quoted in map("".join, QUOTED.findall(text)):
            parts = (_flat(part) for part in quoted.split("…"))
            if not all(part in facts for part in parts):
                yield f"“{quoted}”"


def _names(said: Iterable[str], words: set[str], facts: str) -> Iterator[str]:
    for text in said:
        for token in TOKEN.findall(QUOTED.sub(" ", text)):
            name = token.lower()
            if NAMED.search(name) and name not in words and not _inside(name, facts):
                yield token


def _inside(name: str, facts: str) -> bool:
    """Whether it is a whole part of a longer name or number with its unit."""
    return bool(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w]|\.\d)", facts))
