"""Where an anomaly belongs, and what its arrival changes for the alerts that are there already.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum, auto
from functools import cached_property, partial

from aiops_core.models import EnrichedAnomaly, Evidence, Role
from correlation_service.alerts import Alert, AlertKey, arrival_of
from correlation_service.incident import OpenIncident
from correlation_service.linking import Linker
from correlation_service.members import Members
from correlation_service.overlay import Overlay
from correlation_service.policy import CorrelatePolicy
from correlation_service.series import SeriesKey
from correlation_service.silent_parent import SilentDevice, SilentParents
from correlation_service.state import CorrelationState
from correlation_service.wording import SHARED, label

ALERTS_TOGETHER = 1000  # of one incident: each of its facts takes a millisecond then
OPENED = "it opened the incident"
AGAIN = "the same problem again"
PARTED = "it is a problem of its own"


class AlertChange(Enum):
    """A new alert; one that leads more than it did, by another key or because it is believed now;
    or any other change.

    The first two can only be a better choice than before for those that may follow, so alerts that
    are in one incident with it already need not choose again.
    """

    NEW = auto()
    MORE = auto()
    OTHER = auto()


class Grouper:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self._policy = policy
        self._members = Members(policy)

    def place(
        self, state: CorrelationState, anomaly: EnrichedAnomaly, anomaly_id: str
    ) -> Placement:
        """*anomaly* put where it belongs, over *state*."""
        member = self._members.of(anomaly, anomaly_id, state.inventory)
        return Placement(
            Overlay(state, self._policy),
            anomaly.ship_id,
            member,
            partial(label, self._policy, anomaly),
        )


class Placement:
    """Puts *member* where it belongs in *overlay*, and moves what follows from that.

    *repeats*: it changes nothing of its incident but the count. *label* makes the label of the
    member, which takes long: only of what may stand for its alert.
    """

    def __init__(
        self, overlay: Overlay, ship: str, member: Evidence, label: Callable[[], str]
    ) -> None:
        self.overlay, self._policy = overlay, overlay.policy
        self._label = label
        self._ship, self._cause, self._arrival = ship, member.anomaly_id, arrival_of(member)
        self.repeats = False
        self.alert, self.member = self._place(member)

    @cached_property
    def _linker(self) -> Linker:
        return Linker(self.overlay)

    @cached_property
    def _silent(self) -> SilentParents:
        return SilentParents(self._linker)

    @property
    def incident_id(self) -> str:
        return self.overlay.home_of(self.alert)

    def count(self) -> None:
        """Count a repetition in, so that the overlay shows its incident with it."""
        if self.repeats and self.overlay.subject is None:
            self.overlay.edit(self.incident_id).count += 1

    def _place(self, member: Evidence) -> tuple[Alert, Evidence]:
        key = AlertKey(self._ship, member.device, member.anomaly_type)
        series = SeriesKey.of(member)
        known = self.overlay.state.open.of_key[key]
        if recovery := self.overlay.state.recoveries.before(key, series, known):
            member = member.but(cleared_at=recovery.at, cleared_confidence=recovery.confidence)
        found = self.overlay.at(key, member.ts)
        lasting = self.overlay.lasting(key, series, member.ts)
        if lasting and lasting not in found:
            return self._return(lasting, member)
        found = found or self.overlay.going_on(key, member)
        return self._join(found, member) if found else self._open(member)

    def _open(self, member: Evidence) -> tuple[Alert, Evidence]:
        incident = self.overlay.new_incident(self._ship, member.anomaly_id)
        member = member.but(label=self._label())
        alert = Alert.opened(incident.id, self._ship, member, self._policy)
        alert.absorb(member)
        self.overlay.add(alert)
        link, reason = self._linker.best(alert), OPENED
        if link is None and (again := self.overlay.again(member, self._ship)):
            self.overlay.move(alert, again.id)
            incident, reason = again, AGAIN
        self._regroup(alert, AlertChange.NEW)
        if self.overlay.home_of(alert) != incident.id:
            reason = link.reason(alert) if link else f"affected devices depend on {member.device}"
        return alert, member.but(reason=reason, alerts=(alert.id,))

    def _join(self, found: list[Alert], member: Evidence) -> tuple[Alert, Evidence]:
        known = found[0] if len(found) == 1 else max(found, key=self._standing)
        others = [alert for alert in found if alert is not known and not self._stays(alert)]
        member = _joining(member, known, others)
        if not others and not self._is_late(known, member) and known.only_counts(member):
            self.repeats = True
            return known, member
        if known.is_told_by(member):
            member = member.but(label=self._label())
        alert = known.copy()
        change = self._extend(alert, member, others)
        same = alert.head is known.head and alert.shown is known.shown
        if not change and same and alert.worst == known.worst:
            self.repeats = True
            return known, member
        self.overlay.extend(alert)
        if change:
            self._regroup(alert, change)
        else:
            self.repeats = same and self._is_as_bad(alert)
        return alert, member

    def _return(self, known: Alert, member: Evidence) -> tuple[Alert, Evidence]:
        """A state that is open is told of again, long after: what belongs together stays so."""
        member, alert = _joining(member, known), known.copy()
        alert.absorb(member)
        self.repeats = alert.worst == known.worst
        if not self.repeats:
            self.overlay.extend(alert)
            self.repeats = self._is_as_bad(alert)
        return alert, member

    def _stays(self, alert: Alert) -> bool:
        """Whether *alert* cannot leave its incident: its members, or most of them, are not kept."""
        return alert.members is None or self._is_old(self.overlay.home_of(alert))

    def _is_old(self, incident_id: str) -> bool:
        return self.overlay.incident(incident_id).is_old(self._arrival)

    def _standing(self, alert: Alert) -> tuple[bool, int, object]:
        return self._stays(alert), alert.count, alert.place

    def _is_late(self, alert: Alert, member: Evidence) -> bool:
        """Whether *member* lengthens *alert* although later anomalies have come."""
        latest = self.overlay.state.latest.get(self._ship, member.ts)
        return alert.last < member.ts < latest

    def _extend(
        self, alert: Alert, member: Evidence, others: Sequence[Alert]
    ) -> AlertChange | None:
        """Let *alert* grow by the member, which closes the gaps to *others* of its key; the change
        that this means to alerts that may follow it."""
        place, believed, late = alert.place, alert.believed, self._is_late(alert, member)
        for other in others:
            self.overlay.note(alert, AGAIN)
            self.overlay.note(other, AGAIN, holder=alert)
            self.overlay.drop(other)
            alert.unite(other, self._policy.members_kept)
            alert.add_keys(other.keys)
        alert.absorb(member)
        new_keys = alert.add_keys(member.keys)
        if others or late or alert.place != place:
            return AlertChange.OTHER
        return AlertChange.MORE if new_keys or alert.believed != believed else None

    def _is_as_bad(self, alert: Alert) -> bool:
        """Whether its incident is as severe as was published last."""
        incident = self.overlay.incident(alert.incident_id)
        return incident.worst(self._policy.escalate_devices) == incident.severity

    def _regroup(self, alert: Alert, change: AlertChange) -> None:
        """Let the changed alert and all that may follow it choose again which alert they follow."""
        home_of, may_part = self.overlay.home_of, change is not AlertChange.NEW
        self._reconsider(alert, may_part)
        for child in self._linker.neighbours(alert):
            if home_of(child) != home_of(alert) or change is AlertChange.OTHER:
                self._reconsider(child, may_part)
        if silent := self._silent.above(alert):
            self._infer(silent)
        concerned = [home_of(alert), *(move.origin for move in self.overlay.moves)]
        for incident_id in dict.fromkeys(concerned):
            self._retract(self.overlay.incident(incident_id))

    def _reconsider(self, child: Alert, may_part: bool) -> None:
        link = self._linker.best(child)
        incident = self.overlay.incident(self.overlay.home_of(child))
        if link and self.overlay.home_of(link.parent) != incident.id:
            branch = self._linker.subtree(child)
            self._move(
                branch, self.overlay.incident(self.overlay.home_of(link.parent)), link.reason(child)
            )
        elif link is None and may_part and len(incident.alerts) > 1:
            branch = self._linker.subtree(child)
            if len(branch) < len(incident.alerts):
                alone = self.overlay.new_incident(self._ship, child.head.anomaly_id, self._cause)
                self._move(branch, alone, PARTED)

    def _move(self, branch: Sequence[Alert], home: OpenIncident, reason: str) -> None:
        """Bring *branch* into *home*; when that makes one of two incidents, the heavier remains."""
        origin = self.overlay.incident(self.overlay.home_of(branch[0]))
        whole = len(branch) == len(origin.alerts)
        stays = any(map(self._stays, branch)) or (whole and origin.earlier > 0)
        movable = home.movable and not self._is_old(home.id)
        if whole and movable and (stays or origin.weight > home.weight):
            branch, origin, home = home.in_order(), home, origin
        elif stays:
            return
        if self._length(home, branch) > self._policy.max_length:
            return
        if len(home.alerts) + len(branch) > ALERTS_TOGETHER:
            return  # later facts are about another incident
        for alert in branch:
            self.overlay.note(alert, reason)
            self.overlay.move(alert, home.id)

    def _length(self, home: OpenIncident, branch: Sequence[Alert]) -> timedelta:
        alerts = (*home.alerts.values(), *branch)
        return max(a.last for a in alerts) - min(a.first for a in alerts)

    def _retract(self, incident: OpenIncident) -> None:
        """Infer nothing any more about what has been explained otherwise in the meantime."""
        device = incident.inferred
        if device and not self._silent.explains(device, self._ship):
            self.overlay.infer(incident.id, "")
            for alert in self._silent.below(self._ship, device):
                self._reconsider(alert, may_part=True)

    def _infer(self, silent: SilentDevice) -> None:
        """Make one incident of the alerts that complain below a silent device."""
        homes = [self.overlay.incident(self.overlay.home_of(root)) for root in silent.roots]
        self.overlay.infer(max(homes, key=lambda home: home.weight).id, silent.device)
        for alert in (*silent.roots, *self._silent.below(self._ship, silent.device)):
            self._reconsider(alert, may_part=False)


def _joining(member: Evidence, known: Alert, others: Sequence[Alert] = ()) -> Evidence:
    """*member* as a part of *known*, to which it brings *others*."""
    repeated = known.fingerprints.get(member.fingerprint)
    return member.but(
        role=Role.DUPLICATE if repeated else Role.MEMBER,
        reason=AGAIN if repeated else _shared(known, member),
        alerts=(known.id, *(other.id for other in others)),
        duplicate_of=repeated,
    )


def _shared(alert: Alert, member: Evidence) -> str:
    """The strongest key that *member* has in common with its alert, as a reason."""
    shared = next((key for key in member.keys if key in alert.keys), "")
    if not shared:
        return f"same device: {member.device}"
    _, word, value = shared.split("|", 2)
    return f"same {SHARED[word]}: {value}"
