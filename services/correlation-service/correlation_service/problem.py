"""One problem: its occurrences, and what was told of them. Pure; a change is a new object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import Field

from aiops_core.models import Record, Recurrence, Severity, Text, UtcDatetime, derived_id
from correlation_service.alerts import recovered_of
from correlation_service.cadence import Cadence
from correlation_service.incident import OpenIncident
from correlation_service.signatures import is_doubtful

SIGNATURES_KEPT = 16  # of one problem
OCCURRENCES_KEPT = 32
NOTE_KEPT = 200  # characters of how an occurrence ended
ROOTS_TOLD = 16
EXPIRED, MERGED, RESOLVED = "expired", "merged", "resolved"
WAITING, STOPPED = "waiting", "stopped"  # chronic: the next one is due; it did not come
ZERO = timedelta(0)
# The fields that tell of the newest incident.
OF_INCIDENT = (
    *("incident", "revision", "since", "earlier", "anomalies"),
    *("ending", "note", "ended", "until", "held", "part"),
)


class Occurrence(NamedTuple):
    """One time that a problem came. *ended*: its recovery, or its last anomaly; None while it goes
    on. *ending* says how, in one word."""

    incident: str
    signature: str
    began: UtcDatetime
    ended: UtcDatetime | None
    severity: Severity
    devices: int
    ending: str

    @property
    def lasted(self) -> timedelta:
        return self.ended - self.began if self.ended else ZERO


class Told(NamedTuple):
    """What was announced last: *gap* of the cadence, the worst severity, most devices, the longest
    duration, and the devices that were the root."""

    gap: timedelta | None
    severity: Severity
    devices: int
    lasted: timedelta
    roots: tuple[str, ...]

    def both(self, other: Told) -> Told:
        return Told(
            self.gap or other.gap,
            max(self.severity, other.severity),
            max(self.devices, other.devices),
            max(self.lasted, other.lasted),
            tuple(dict.fromkeys((*self.roots, *other.roots)))[-ROOTS_TOLD:],
        )


class Part(NamedTuple):
    """What the newest occurrence is a part of: one *spread* of a *kind*, with its *device*.

    *lasts* says that it began with a state. *told* is on how many devices the spread was when a
    person was told of this one last, and of what *severity*; 0 when nobody was. *peer* is who
    attacks, if it is an attack.
    """

    kind: str = ""
    spread: str = ""
    device: str = ""
    lasts: bool = False
    told: int = 0
    severity: Severity = Severity.LOW
    peer: str = ""


class Start(NamedTuple):
    """An occurrence begins, as a published fact tells of it."""

    recurrence: Recurrence
    incident: str
    revision: int
    ship: str
    signature: str
    at: datetime
    severity: Severity
    device: str
    announce: bool
    lasts: bool = False
    peer: str = ""


class End(NamedTuple):
    """An occurrence is over, or its incident waits; *at* by the host clock. *root* is the signature
    of its root alert, empty when that is not sure; *into* the incident that has its members."""

    ending: str
    note: str
    at: datetime
    revision: int | None = None
    root: str = ""
    into: str | None = None


class KnownProblem(Record):
    """What came *count* times; the newest of them are known.

    *incident* is that of the newest occurrence, *since* its first anomaly, *earlier* the anomalies
    in it before that occurrence, *anomalies* those in it when an occurrence was over last. *ending*
    is empty while it has alerts; ``waiting`` while it is open without any, until *until* by the
    host clock, or for good when a person *holds* it. *ended* is event time.
    """

    id: Text
    ship_id: str
    signatures: Annotated[tuple[str, ...], Field(max_length=SIGNATURES_KEPT)] = ()
    count: Annotated[int, Field(ge=1)]
    occurrences: Annotated[tuple[Occurrence, ...], Field(min_length=1, max_length=OCCURRENCES_KEPT)]
    told: Told
    announced: bool = Field(description="whether something of the newest occurrence was told")
    gap: timedelta | None = None
    cadence: str = ""
    incident: Text
    revision: Annotated[int, Field(ge=1)]
    since: UtcDatetime
    earlier: Annotated[int, Field(ge=0)] = 0
    anomalies: Annotated[int, Field(ge=0)] = 0
    ending: str = ""
    note: str = ""
    ended: UtcDatetime | None = None
    until: UtcDatetime | None = None
    held: bool = False
    change: int = 0
    absorbed: Annotated[tuple[str, ...], Field(max_length=SIGNATURES_KEPT)] = Field(
        default=(), description="problems that are part of it now"
    )
    part: Part = Part()

    @classmethod
    def begun(cls, start: Start, signatures: tuple[str, ...]) -> KnownProblem:
        """A new problem; of one that was forgotten the number of occurrences is known."""
        return cls(
            id=start.recurrence.problem_id,
            ship_id=start.ship,
            signatures=signatures,
            count=start.recurrence.occurrence,
            occurrences=(_occurrence(start),),
            told=Told(None, start.severity, 1, ZERO, (start.device,)),
            announced=start.announce,
            incident=start.incident,
            revision=start.revision,
            since=start.at,
            part=_part(start),
        )

    @property
    def latest(self) -> Occurrence:
        return self.occurrences[-1]

    @property
    def is_open(self) -> bool:
        return self.ending in ("", WAITING)

    @property
    def is_chronic(self) -> bool:
        return bool(self.cadence)

    @property
    def goes_on(self) -> bool:
        """Whether it is open for longer than its anomalies say: a state that nobody took back, or a
        chronic problem. Of an event that depends on when its lines came."""
        return self.is_open and (self.part.lasts or self.is_chronic)

    @property
    def begins(self) -> list[datetime]:
        return [occurrence.began for occurrence in self.occurrences]

    @property
    def recurrence(self) -> Recurrence:
        """What facts about its newest occurrence say."""
        before = self.occurrences[-2].began if len(self.occurrences) > 1 else None
        return self._recurrence(self.count, self.cadence, before)

    def next(self, cadence: Cadence | None, kind: str, spread: str) -> Recurrence:
        """What the fact says that begins another occurrence, of that kind and spread."""
        words = cadence.words if cadence else ""
        following = self._recurrence(self.count + 1, words, self.latest.began)
        return following.but(kind=kind, spread=spread)

    def _recurrence(self, occurrence: int, cadence: str, previous: datetime | None) -> Recurrence:
        return Recurrence(
            problem_id=self.id,
            occurrence=occurrence,
            cadence=cadence,
            previous=previous,
            resolved_before=self.note,
            kind=self.part.kind,
            spread=self.part.spread,
        )

    # -- other occurrences ------------------------------------------------------------------------

    def added(self, start: Start, cadence: Cadence | None) -> KnownProblem:
        """With another occurrence, in its incident or a new one."""
        same = start.incident == self.incident
        return self.but(
            count=start.recurrence.occurrence,
            occurrences=(*self.occurrences, _occurrence(start))[-OCCURRENCES_KEPT:],
            announced=False,
            incident=start.incident,
            revision=start.revision,
            since=self.since if same else start.at,
            earlier=self.anomalies if same else 0,
            ending="",
            ended=None,
            until=None,
            held=self.held and same,
            part=_part(start, self.part),
        ).with_cadence(cadence)

    def going_on(self, revision: int) -> KnownProblem:
        """The newest occurrence goes on; or the fact that it began is read again."""
        newest = self.latest._replace(ended=None, ending="")
        return self.but(
            occurrences=(*self.occurrences[:-1], newest),
            earlier=self.anomalies if revision > self.revision else self.earlier,
            revision=revision,
            ending="",
            ended=None,
            until=None,
        )

    def finished(self, incident: OpenIncident, ending: str) -> KnownProblem:
        """The newest occurrence is as long, as bad and as wide as *incident* shows it."""
        known = self.latest
        newest = known._replace(
            ended=max(recovered_of(incident.alerts.values()) or known.began, incident.last_seen),
            severity=max(known.severity, incident.severity),
            devices=max(known.devices, incident.width),
            ending=ending,
        )
        told = self.told
        if self.announced:  # who was told of it has seen how it went on
            told = told._replace(
                devices=max(told.devices, newest.devices), lasted=max(told.lasted, newest.lasted)
            )
        occurrences = (*self.occurrences[:-1], newest)
        return self.but(occurrences=occurrences, told=told, anomalies=incident.total)

    def over(self, end: End, incident: OpenIncident | None, until: datetime | None) -> KnownProblem:
        """The newest occurrence is over, *incident* with its last alerts; None while it waited. Of
        an order the host clock says how long after them it came: they may be of last year."""
        ending = end.ending
        if self.ending == WAITING and ending == EXPIRED:
            ending = STOPPED
        waits, one = ending == WAITING, self
        if incident and incident.alerts:
            by_person = incident.last_seen + max(end.at - incident.last_arrival, ZERO)
            ended = by_person if ending == RESOLVED else incident.over_since
            one = self.finished(incident, ending).but(ended=ended, until=until)
        elif self.latest.ended is None:  # what was in it is in another incident
            newest = self.latest._replace(ended=self.latest.began, ending=ending)
            one = self.but(occurrences=(*self.occurrences[:-1], newest))
        return one.but(
            ending=ending,
            note=end.note[:NOTE_KEPT],
            revision=max(end.revision or 0, self.revision),
            until=one.until if waits else None,
            held=self.held and waits,
        )

    def given_up_at(self, patience: float) -> datetime | None:
        """By its own times, when it had been silent for *patience* gaps."""
        return self.ended + patience * self.gap if self.ended and self.gap else self.ended

    def announcing(self, severity: Severity, device: str) -> KnownProblem:
        """A person was told what the newest occurrence is like; the former ones are known."""
        former = self.occurrences[:-1]
        told = Told(
            gap=self.gap or self.told.gap,
            severity=severity,
            devices=max((one.devices for one in former), default=1),
            lasted=max((one.lasted for one in former), default=ZERO),
            roots=(device,),
        )
        return self.but(told=self.told.both(told)._replace(gap=told.gap), announced=True)

    def telling_of(self, devices: int, severity: Severity) -> KnownProblem:
        """A person was told of it as part of a spread on so many devices."""
        worst = max(severity, self.part.severity)
        return self.but(part=self.part._replace(told=devices, severity=worst))

    def with_cadence(self, cadence: Cadence | None) -> KnownProblem:
        gap, words = cadence or (None, "")
        return self.but(gap=gap, cadence=words)

    # -- its signatures ---------------------------------------------------------------------------

    def learned(self, root: str, is_known: bool) -> KnownProblem:
        """Found by the signature of the *root* alert of its only occurrence, too, unless that is
        known elsewhere.

        A later signature that opened an incident with another root is a symptom of several
        problems: it leads to this one no more.
        """
        known, opener = self.signatures, self.latest.signature
        if not root or root in known or is_doubtful(opener):
            return self
        if self.count == 1 and known and not is_known:
            return self.but(signatures=(*known, root)[:SIGNATURES_KEPT])
        if opener not in known[1:]:
            return self
        alone = derived_id("problem", opener)
        return self.but(
            signatures=tuple(one for one in known if one != opener),
            absorbed=tuple(one for one in self.absorbed if one != alone),
        )

    @property
    def is_sign_of_another(self) -> bool:
        """Whether it was part of another incident each time, twice or more."""
        merged = all(one.ending == MERGED for one in self.occurrences)
        sure = self.signatures and not any(map(is_doubtful, self.signatures))
        return bool(sure and merged and self.count >= 2 and self.count == len(self.occurrences))

    def absorbing(self, other: KnownProblem) -> KnownProblem:
        """Found by the signatures of *other*, too, which is part of it from now on."""
        signatures = dict.fromkeys((*self.signatures, *other.signatures))
        absorbed = dict.fromkeys((*self.absorbed, other.id, *other.absorbed))
        return self.but(
            signatures=tuple(signatures)[:SIGNATURES_KEPT],
            absorbed=tuple(absorbed)[-SIGNATURES_KEPT:],
        )

    # -- edits by a person ------------------------------------------------------------------------

    def united(self, other: KnownProblem) -> KnownProblem:
        """With all occurrences of *other*; it goes on in the incident of ``going_on_of`` them."""
        going_on = going_on_of(self, other)
        both = sorted((*self.occurrences, *other.occurrences), key=lambda one: one.began)
        last = next(one for one in reversed(both) if one.incident == going_on.incident)
        both = [*(one for one in both if one is not last), last][-OCCURRENCES_KEPT:]
        return self.absorbing(other).but(
            count=self.count + other.count,
            occurrences=tuple(both),
            told=self.told.both(other.told),
            announced=going_on.announced,
            **{name: getattr(going_on, name) for name in OF_INCIDENT},
        )

    def split(self, incident_id: str) -> tuple[KnownProblem, KnownProblem] | None:
        """Without the occurrences of that incident, and a new problem of them and what comes like
        them; None when it has none or no others. Only one goes on in the newest incident. The
        numbers of the others stay: facts have told them."""
        own = [one for one in self.occurrences if one.incident == incident_id]
        rest = [one for one in self.occurrences if one.incident != incident_id]
        if not own or not rest:
            return None
        signs = tuple(dict.fromkeys(one.signature for one in own))
        others = tuple(one for one in self.signatures if one not in signs)
        return (
            self._of(rest, self.count).but(signatures=others),
            self._of(own, len(own)).but(
                id=derived_id("problem", incident_id, "split"),
                signatures=signs[:SIGNATURES_KEPT],
                change=0,
                absorbed=(),
            ),
        )

    def _of(self, occurrences: Sequence[Occurrence], count: int) -> KnownProblem:
        """With these occurrences only. Nobody knows the newest revision of an older incident, so it
        is not reopened."""
        one, last = self.but(occurrences=tuple(occurrences), count=count), occurrences[-1]
        if last.incident == self.incident:
            return one
        return one.but(
            incident=last.incident,
            revision=1,
            since=last.began,
            earlier=0,
            anomalies=0,
            ending=MERGED,
            ended=last.ended,
            until=None,
            held=False,
        )


def going_on_of(one: KnownProblem, other: KnownProblem) -> KnownProblem:
    """Of two problems that become one, that whose incident goes on: the open one, the newer."""
    return max((one, other), key=lambda problem: (problem.is_open, problem.latest.began))


def _part(start: Start, before: Part | None = None) -> Part:
    said = start.recurrence
    part = Part(said.kind, said.spread, start.device, start.lasts, peer=start.peer)
    if before and before.spread == part.spread:
        return part._replace(told=before.told, severity=before.severity)
    return part


def _occurrence(start: Start) -> Occurrence:
    return Occurrence(start.incident, start.signature, start.at, None, start.severity, 1, "")
