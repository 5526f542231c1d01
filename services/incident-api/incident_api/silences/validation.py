"""Which silences operators may set: not too broad, not too long, not in vain. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from aiops_core.suppression.policy import NeverSuppress, SuppressPolicy
from aiops_core.suppression.silences import Matcher, Silence
from incident_api.problems import Problem
from incident_api.silences.models import EditSilence, NewSilence


def refusal(matchers: Sequence[Matcher], policy: SuppressPolicy) -> str | None:
    """Why there may be no silence with *matchers*; None when there may."""
    broad = too_broad(matchers, policy.silences.not_alone)
    return broad or in_vain(matchers, policy.never_suppress)


def too_broad(matchers: Sequence[Matcher], not_alone: Collection[str]) -> str | None:
    """Why *matchers* hide more than a silence may; None when they may.

    At least one must be positive, specific, and about a label that is not in *not_alone*.
    """
    naming = {matcher.name for matcher in matchers if matcher.names_something}
    if not naming:
        return (
            "it would hide nearly everything: at least one matcher must name what is meant, with ="
            " or =~ and a value that is neither empty nor matched by anything"
        )
    if naming <= set(not_alone):
        broad = ", ".join(sorted(naming))
        return f"{broad} alone is too broad; add a device_id or an anomaly_type, for example"
    return None


def in_vain(matchers: Sequence[Matcher], never: NeverSuppress) -> str | None:
    """Why a silence with *matchers* could never hide anything; None when it could."""
    visible: dict[str, set[str]] = {
        "severity": {str(severity) for severity in never.severities},
        "anomaly_type": set(never.anomaly_types),
    }
    for matcher in matchers:
        if matcher.words and set(matcher.words) <= visible.get(matcher.name, set()):
            return f"{matcher} is never hidden: never_suppress of policies/correlate.yaml names it"
    return None


def created(
    new: NewSilence, silence_id: str, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """The silence that is asked for, or a Problem (422) with the reason why not."""
    if why := refusal(new.matchers, policy):
        raise Problem(422, f"body.matchers: {why}")
    starts_at = new.starts_at or now
    _check_end(new.ends_at, starts_at, now, policy)
    return Silence(
        id=silence_id,
        matchers=new.matchers,
        starts_at=starts_at,
        ends_at=new.ends_at,
        created_by=new.created_by,
        comment=new.comment,
        created_at=now,
        updated_at=now,
        updated_by=actor,
    )


def edited(
    silence: Silence, edit: EditSilence, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """*silence* after *edit*. Problem 409 when it has expired, 422 when its end may not be."""
    if silence.state_at(now) == "expired":
        ended_at = f"{silence.ends_at:%Y-%m-%d %H:%M} UTC"
        raise Problem(409, f"silence {silence.id} ended at {ended_at}; add a new one")
    changes = edit.model_dump(exclude_none=True)
    if changes.get("ends_at", silence.ends_at) != silence.ends_at:
        _check_end(changes["ends_at"], silence.starts_at, now, policy)
    return silence.model_copy(update=changes | {"updated_at": now, "updated_by": actor})


def ended(silence: Silence, actor: str, now: datetime) -> Silence:
    """*silence*, expired from *now* on; a pending one never starts."""
    if silence.state_at(now) == "expired":
        return silence
    times = {"starts_at": min(silence.starts_at, now), "ends_at": now, "updated_at": now}
    return silence.model_copy(update=times | {"updated_by": actor})


def never_hides(matchers: Sequence[Matcher], never: NeverSuppress) -> Iterator[str]:
    """Labels that *matchers* fit and that the policy keeps visible."""
    for name, values in (("severity", never.severities), ("anomaly_type", never.anomaly_types)):
        about = [matcher for matcher in matchers if matcher.name == name]
        for value in values:
            if all(matcher.matches({name: (str(value),)}) for matcher in about):
                yield f"{name}={value}"


def _check_end(
    ends_at: datetime, starts_at: datetime, now: datetime, policy: SuppressPolicy
) -> None:
    begins, longest = max(starts_at, now), policy.silences.longest
    if ends_at <= begins:
        raise Problem(422, "body.ends_at: it must lie in the future and after the start")
    if ends_at - begins > longest:
        days = longest.total_seconds() / 86_400
        raise Problem(
            422, f"body.ends_at: a silence lasts at most {days:g} days; it can be extended later"
        )
