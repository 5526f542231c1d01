"""Dependencies that nobody typed, with what speaks for them. Pure.

Every kind of evidence says one ``EdgeFinding`` of an edge; the kinds are independent of each other,
so their confidences are united by noisy-or: 1 - (1 - a)(1 - b). A person accepts or rejects an
edge; an accepted one is in the device's ``upstream``, a rejected one is kept, so that it is not
suggested again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, TypeAdapter, computed_field, model_validator

from aiops_core._record import Name
from aiops_core.models import Fraction, Record, UtcDatetime

KEY = "suggestions"  # in the bucket of the inventory
MOST = 5000  # edges
BYTES_MOST = 2 << 20  # of all as JSON
EVIDENCE_KEPT = 5  # sentences of one edge
SENTENCE_KEPT = 200  # characters
ONE_SENDER_MOST = 0.75  # what one sender says alone is never surer
SENDERS_MOST = 0.9  # what senders say, however many

EvidenceKind = Literal[
    "lldp", "cdp", "dhcp", "arp", "ap_join", "bgp", "description", "relay", "file", "time"
]
EdgeStatus = Literal["open", "accepted", "rejected"]
DeviceName = Annotated[Name, Field(min_length=1)]
Sentence = Annotated[str, Field(min_length=1, max_length=SENTENCE_KEPT)]


class EdgeKey(NamedTuple):
    """*device* needs *upstream*; names as in the inventory, else as in anomalies."""

    device: str
    upstream: str


class SuggestedEdge(NamedTuple):
    """An edge as a graph needs it; *why* is a sentence, such as ``they failed together 14 times of
    15``."""

    device: str
    upstream: str
    confidence: float
    why: str = ""


class EdgeFinding(Record):
    """What one kind of evidence says of one edge; *evidence* are short sentences, newest first.

    *senders*: the first two devices that said so in their lines; empty for what a person brought or
    the platform measured. What one sender says alone never makes an edge certain.
    """

    kind: EvidenceKind
    confidence: Fraction
    senders: Annotated[tuple[DeviceName, ...], Field(max_length=2)] = ()
    evidence: Annotated[tuple[Sentence, ...], Field(max_length=EVIDENCE_KEPT)] = ()
    first_seen: UtcDatetime
    last_seen: UtcDatetime

    def later(self, newer: EdgeFinding) -> EdgeFinding:
        """This finding after *newer* of the same kind: the newer confidence, both their evidence;
        a sentence that is there already says nothing more. Two senders say more than one."""
        told = dict.fromkeys((*newer.evidence, *self.evidence))
        confidence, senders = newer.confidence, newer.senders
        if self.senders and newer.senders:
            senders = tuple(dict.fromkeys((*self.senders, *newer.senders)))[:2]
            confidence = max(self.confidence, newer.confidence)
            if len(senders) > len(self.senders):
                united = _united((self.confidence, newer.confidence))
                confidence = min(united, SENDERS_MOST)
        elif newer.senders:  # a line adds nothing to what a person brought
            confidence, senders = self.confidence, ()
        return newer.but(
            confidence=confidence,
            senders=senders,
            evidence=tuple(told)[:EVIDENCE_KEPT],
            first_seen=min(self.first_seen, newer.first_seen),
            last_seen=max(self.last_seen, newer.last_seen),
        )


class Suggestion(Record):
    """One edge: *device* probably needs *upstream*. Its *findings* have different kinds."""

    device: DeviceName
    upstream: DeviceName
    findings: Annotated[tuple[EdgeFinding, ...], Field(min_length=1)]
    status: EdgeStatus = "open"

    @model_validator(mode="after")
    def _is_an_edge(self) -> Self:
        if self.device == self.upstream:
            raise ValueError(f"{self.device} cannot need itself")
        if len({finding.kind for finding in self.findings}) < len(self.findings):
            raise ValueError("several findings are of one kind")
        return self

    @property
    def key(self) -> EdgeKey:
        return EdgeKey(self.device, self.upstream)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def confidence(self) -> float:
        """United by noisy-or over the kinds of evidence, those of senders first."""
        claims = [finding for finding in self.findings if finding.senders]
        senders = {sender for finding in claims for sender in finding.senders}
        most = SENDERS_MOST if len(senders) > 1 else ONE_SENDER_MOST
        claimed = min(_united(finding.confidence for finding in claims), most)
        others = (finding.confidence for finding in self.findings if not finding.senders)
        return round(_united((claimed, *others)), 3)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kinds(self) -> tuple[EvidenceKind, ...]:
        return tuple(finding.kind for finding in self.findings)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def evidence(self) -> tuple[str, ...]:
        """Of the findings, the newest first."""
        newest = sorted(self.findings, key=lambda finding: finding.last_seen, reverse=True)
        return tuple(text for finding in newest for text in finding.evidence)[:EVIDENCE_KEPT]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def first_seen(self) -> UtcDatetime:
        return min(finding.first_seen for finding in self.findings)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def last_seen(self) -> UtcDatetime:
        return max(finding.last_seen for finding in self.findings)

    @property
    def edge(self) -> SuggestedEdge:
        """With the sentence of the finding that is most certain."""
        best = max(self.findings, key=lambda finding: finding.confidence)
        why = best.evidence[0] if best.evidence else ""
        return SuggestedEdge(self.device, self.upstream, self.confidence, why)

    def found(self, newer: EdgeFinding) -> Suggestion:
        """With *newer*, which goes on from an earlier finding of its kind."""
        known = {finding.kind: finding for finding in self.findings}
        earlier = known.get(newer.kind)
        known[newer.kind] = earlier.later(newer) if earlier else newer
        return self.but(findings=tuple(known.values()))

    def without(self, kind: EvidenceKind) -> Suggestion | None:
        """Without the finding of *kind*; None when nothing else speaks for the edge."""
        rest = tuple(finding for finding in self.findings if finding.kind != kind)
        return self.but(findings=rest) if rest else None


_SUGGESTIONS = TypeAdapter(tuple[Suggestion, ...])
Findings = Mapping[EdgeKey, EdgeFinding]


class Suggestions:
    """Edges by their two names; it never changes.

    Of more than ``MOST``, or more than fit into ``BYTES_MOST``, the least certain open ones go:
    what a person has decided is kept as long as possible.
    """

    def __init__(self, suggestions: Iterable[Suggestion] = ()) -> None:
        found = {suggestion.key: suggestion for suggestion in suggestions}
        kept = sorted(found.values(), key=_worth, reverse=True)[:MOST]
        self._by_key = {one.key: one for one in sorted(kept, key=lambda one: one.key)}

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """The inverse of ``to_json``; raises ValueError on anything else."""
        if len(data) > BYTES_MOST:
            raise ValueError(f"suggestions of {len(data)} bytes, at most {BYTES_MOST} are read")
        return cls(_SUGGESTIONS.validate_json(data))

    def to_json(self) -> bytes:
        """Equal suggestions are equal to the byte."""
        kept = list(self)
        data = _dumped(kept)
        while len(data) > BYTES_MOST:
            most = len(kept) * BYTES_MOST // len(data)
            kept = sorted(kept, key=_worth, reverse=True)[: min(most, len(kept) - 1)]
            data = _dumped(kept)
        return data

    def __iter__(self) -> Iterator[Suggestion]:
        """By device, then upstream."""
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Suggestions) and self._by_key == other._by_key

    __hash__ = None  # type: ignore[assignment]

    def get(self, device: str, upstream: str) -> Suggestion | None:
        return self._by_key.get(EdgeKey(device, upstream))

    def edges(self, least: float) -> tuple[SuggestedEdge, ...]:
        """The open ones with at least that confidence."""
        sure = (one for one in self if one.status == "open" and one.confidence >= least)
        return tuple(one.edge for one in sure)

    def found(self, findings: Findings) -> Suggestions:
        """With *findings*; those of the same edge and kind go on."""
        return Suggestions(self._with(self._by_key, findings))

    def relearned(self, kind: EvidenceKind, findings: Findings) -> Suggestions:
        """With *findings*, which are all that *kind* says now: what it said earlier is over. An
        edge about which a person has decided stays."""
        rest: dict[EdgeKey, Suggestion] = {}
        for one in self:
            left = one.without(kind) if one.status == "open" else one
            if left:
                rest[one.key] = left
        return Suggestions(self._with(rest, findings))

    def decided(self, device: str, upstream: str, status: EdgeStatus) -> Suggestions:
        """With the decision of a person; raises LookupError for an edge that is not suggested."""
        one = self.get(device, upstream)
        if one is None:
            raise LookupError(f"nothing suggests that {device} needs {upstream}")
        return Suggestions((*self, one.but(status=status)))

    @staticmethod
    def _with(known: Mapping[EdgeKey, Suggestion], findings: Findings) -> Iterator[Suggestion]:
        yield from known.values()
        for key, finding in findings.items():
            earlier = known.get(key)
            yield (
                earlier.found(finding)
                if earlier
                else Suggestion(device=key.device, upstream=key.upstream, findings=(finding,))
            )


def _united(confidences: Iterable[float]) -> float:
    """Of independent evidence, by noisy-or; 0 without any."""
    return 1 - math.prod(1 - confidence for confidence in confidences)


def _dumped(suggestions: Iterable[Suggestion]) -> bytes:
    """Without what follows from the rest."""
    ordered = tuple(sorted(suggestions, key=lambda one: one.key))
    computed = set(Suggestion.model_computed_fields)
    return _SUGGESTIONS.dump_json(ordered, exclude={"__all__": computed})


def _worth(suggestion: Suggestion) -> tuple[bool, float, EdgeKey]:
    """Which is kept when there are too many."""
    return suggestion.status != "open", suggestion.confidence, suggestion.key
