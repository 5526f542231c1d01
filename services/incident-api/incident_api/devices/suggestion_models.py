"""Bodies of ``/api/v3/devices/suggestions``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import (
    EVIDENCE_KEPT,
    EdgeFinding,
    EdgeKey,
    EdgeStatus,
    EvidenceKind,
    Sentence,
    Suggestion,
)
from aiops_core.models import UtcDatetime
from incident_api.devices.import_rules import DeviceChange, NewDevice
from incident_api.devices.suggesting import (
    EdgeOutcome,
    SkippedEdge,
    SuggestedDevice,
)
from incident_api.pages import Page
from incident_api.problems import RequestBody

EDGES_MOST = 5000  # of one request
SUREST = 0.95  # what a person did not accept is never certain

DeviceName = Annotated[str, Field(min_length=1, max_length=255, examples=["ap-d05-01"])]


class NewEdge(RequestBody):
    """*device* probably needs *upstream*; *evidence* are sentences for people."""

    device: DeviceName
    upstream: DeviceName
    kind: EvidenceKind = "file"
    confidence: Annotated[float, Field(gt=0, le=SUREST)]
    evidence: Annotated[tuple[Sentence, ...], Field(max_length=EVIDENCE_KEPT)] = ()

    def finding(self, at: UtcDatetime) -> EdgeFinding:
        return EdgeFinding(
            kind=self.kind,
            confidence=self.confidence,
            evidence=self.evidence,
            first_seen=at,
            last_seen=at,
        )


class NewSuggestedDevice(RequestBody):
    """A device that was found somewhere; *said* is where."""

    device: NewDevice
    said: Sentence


class NewSuggestions(RequestBody):
    devices: Annotated[tuple[NewSuggestedDevice, ...], Field(max_length=EDGES_MOST)] = ()
    edges: Annotated[tuple[NewEdge, ...], Field(max_length=EDGES_MOST)] = ()
    dry_run: bool = Field(default=False, description="Report what would be new, and keep nothing.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.devices and not self.edges:
            raise ValueError("give devices or edges")
        return self


class SuggestionReport(BaseModel):
    """What became of the edges that were told, and which devices the inventory lacks."""

    edges: list[EdgeOutcome]
    devices: list[str]
    dry_run: bool


class Choice(RequestBody):
    """Suggestions that a person decides about: those of *device* (of *upstream*, where it is
    given), all of a confidence of at least *least*, or *devices* that need nothing."""

    device: DeviceName | None = None
    upstream: tuple[DeviceName, ...] = ()
    least: Annotated[float | None, Field(gt=0, le=1)] = None
    devices: Annotated[tuple[DeviceName, ...], Field(max_length=EDGES_MOST)] = ()

    @model_validator(mode="after")
    def _chooses_one_way(self) -> Self:
        ways = (self.device is not None, self.least is not None, bool(self.devices))
        if sum(ways) != 1:
            raise ValueError("give one of device, least, devices")
        if self.upstream and self.device is None:
            raise ValueError("upstream belongs to a device")
        return self


class Acceptance(Choice):
    dry_run: bool = Field(default=False, description="Report the changes, and make none.")


class DecidedEdge(BaseModel):
    device: str
    upstream: str

    @classmethod
    def of(cls, key: EdgeKey) -> Self:
        return cls(device=key.device, upstream=key.upstream)


class AcceptanceReport(BaseModel):
    """The changes of the inventory. *skipped* edges stay suggested, with the reason."""

    accepted: list[DecidedEdge]
    skipped: list[SkippedEdge]
    added: list[str]
    changed: list[DeviceChange]
    total: int
    dry_run: bool


class RejectionReport(BaseModel):
    rejected: list[DecidedEdge]
    devices: list[str]


class SuggestionView(BaseModel):
    """One suggested edge; *unknown* are its ends that the inventory lacks."""

    device: str = Field(examples=["ap-d05-01"])
    upstream: str = Field(examples=["sw-acc-d05"])
    confidence: float
    kinds: list[EvidenceKind]
    evidence: list[str] = Field(examples=[["they failed together 14 times of 15"]])
    status: EdgeStatus
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    unknown: list[str]

    @classmethod
    def of(cls, one: Suggestion, inventory: Inventory) -> Self:
        return cls(
            device=one.device,
            upstream=one.upstream,
            confidence=one.confidence,
            kinds=list(one.kinds),
            evidence=list(one.evidence),
            status=one.status,
            first_seen=one.first_seen,
            last_seen=one.last_seen,
            unknown=[name for name in one.key if inventory.resolve(name) is None],
        )


class SuggestionPage(Page[SuggestionView]):
    """*devices*, on the first page, are those that were found and that the inventory lacks."""

    devices: list[SuggestedDevice]
